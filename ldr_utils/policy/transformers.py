"""Generation with ``generate`` of transformers: runs anywhere, NF4 included."""

from __future__ import annotations

import gc

from ldr_utils.policy.generate import Completion, decode, stop_ids
from ldr_utils.policy.load import Policy, load_policy
from ldr_utils.study.params import DecodingParams


class TransformersGenerator:
    """``generate`` of transformers, one padded batch after the other: runs anywhere, NF4 included."""

    def __init__(self, policy: Policy, params: DecodingParams) -> None:
        self.policy, self.params = policy, params
        self.batch_size = params.batch_size

    @classmethod
    def load(cls, params: DecodingParams, t: int) -> TransformersGenerator:
        return cls(load_policy(params, t), params)

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.policy.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        return complete(self.policy, prompts, self.params)

    def close(self) -> None:
        import torch

        del self.policy
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU


def complete(policy: Policy, prompts: list[list[int]], params: DecodingParams) -> list[Completion]:
    """Complete one batch greedily (temperature 0, as in the paper), with transformers.

    Parameters
    ----------
    policy : Policy
        The model to ask.
    prompts : list of list of int
        Token ids, one list a prompt.
    params : DecodingParams
        Length limit and repetition penalty.
    """
    import torch

    tokenizer = policy.tokenizer
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(policy.model.device)
    with torch.inference_mode():
        output = policy.model.generate(
            **padded,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=params.max_new_tokens,
            repetition_penalty=params.repetition_penalty,
            pad_token_id=tokenizer.pad_token_id,
        )
    width = padded["input_ids"].shape[1]
    stops = stop_ids(policy.model.generation_config, tokenizer)
    return [decode(row[width:].tolist(), tokenizer, stops) for row in output]
