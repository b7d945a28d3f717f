"""Generation with ``generate`` of transformers: runs anywhere, NF4 included."""

from __future__ import annotations

import gc

from ldr_utils.policy.generate import Completion, decode, stop_ids
from ldr_utils.policy.load import ModelKey, Policy, load_policy
from ldr_utils.study.params import BackendParams


class TransformersGenerator:
    """``generate`` of transformers, one padded batch after the other: runs anywhere, NF4 included."""

    def __init__(self, policy: Policy, params: BackendParams) -> None:
        self.policy, self.params = policy, params
        self.batch_size = params.batch_size

    @classmethod
    def load(cls, params: BackendParams, t: int, key: ModelKey = "base_model") -> TransformersGenerator:
        return cls(load_policy(params, t, key=key), params)

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.policy.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        return complete(self.policy, prompts, self.params)

    def close(self) -> None:
        import torch

        del self.policy
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU


def complete(policy: Policy, prompts: list[list[int]], params: BackendParams) -> list[Completion]:
    """Complete one batch greedily (temperature 0, as in the paper), with transformers.

    Parameters
    ----------
    policy : Policy
        The model to ask.
    prompts : list of list of int
        Token ids, one list a prompt.
    params : BackendParams
        Length limit and repetition penalty.

    Raises
    ------
    InputError
        When the model's logits are not finite.
    """
    import torch
    from transformers import LogitsProcessorList

    from ldr_utils.policy.logits import Finite, PenaltyOfText

    model, tokenizer = policy.model, policy.tokenizer
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
    processors = LogitsProcessorList([Finite(policy.chat.where, model.dtype)])
    if params.decoding.repetition_penalty != 1:
        processors.append(PenaltyOfText(params.decoding.repetition_penalty, padded["attention_mask"]))
    with torch.inference_mode():
        output = model.generate(
            **padded,
            do_sample=False,
            max_new_tokens=params.decoding.max_new_tokens,
            logits_processor=processors,
        )
    width = padded["input_ids"].shape[1]
    stops = stop_ids(model.generation_config, policy.chat)
    return [decode(row[width:].tolist(), tokenizer, stops) for row in output]
