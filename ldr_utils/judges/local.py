"""A judge through transformers: the next token's probabilities, read from one forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache as remembered
from typing import Any

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.prompted import Question
from ldr_utils.judges.reply import Reply, normalised, parse_label
from ldr_utils.policy.generate import batches_by_length
from ldr_utils.policy.load import Policy, load_chat, load_weights

LEAST_MASS = 0.01  # of all labels together: below it the model was about to say something else altogether


class LocalModel:
    """A chat model in this process; it is loaded when the first question comes.

    It is read as if it could only reply with a label, which an endpoint cannot be asked for in one way that all servers
    know: a model that would rather chat gives verdicts here and unparsable replies there. A model that obeys gives the
    same verdicts in both places.

    Parameters
    ----------
    model : str
        Folder or hub name.
    batch_size : int
        Questions in one forward pass.
    """

    def __init__(self, model: str, batch_size: int) -> None:
        self.name = f"local:{model}"
        self.model = model
        self.batch_size = batch_size
        self._policy: Policy | None = None

    def replies(self, questions: Mapping[str, Question], cache: VerdictCache) -> Iterator[tuple[str, Reply]]:
        """Replies batch by batch (see ``prompted.JudgeModel``).

        Batches are the same on every run, so that what padding does to the last bits of a float does not depend on
        where a run broke.
        """
        if all(key in cache for key in questions):
            return
        self._policy = self._policy or load_judge(self.model)
        keys = list(questions)
        prompts = [self._policy.prompt_ids([{"role": "user", "content": questions[key].prompt}]) for key in keys]
        longest = getattr(self._policy.model.config, "max_position_embeddings", None) or math.inf
        for i, ids in enumerate(prompts):
            if len(ids) >= longest and keys[i] not in cache:
                yield keys[i], Reply("failed")
        fitting = [i for i, ids in enumerate(prompts) if len(ids) < longest]
        for batch in batches_by_length([len(prompts[i]) for i in fitting], self.batch_size):
            chosen = [fitting[k] for k in batch]
            if all(keys[i] in cache for i in chosen):
                continue
            found = self._forward([prompts[i] for i in chosen], [questions[keys[i]].labels for i in chosen])
            yield from ((keys[i], reply) for i, reply in zip(chosen, found, strict=True) if keys[i] not in cache)

    def _forward(self, prompts: list[list[int]], labels: list[tuple[str, ...]]) -> list[Reply]:
        import torch

        assert self._policy is not None
        model, tokenizer = self._policy.model, self._policy.tokenizer
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
        positions = (padded["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(**padded, position_ids=positions, logits_to_keep=1).logits[:, -1]
        rows = logits.float().softmax(-1).cpu()
        return [read_next_token(row, tokenizer, own) for row, own in zip(rows, labels, strict=True)]


def load_judge(name: str) -> Policy:
    """Load a chat model for judging.

    Raises
    ------
    InputError
        When it cannot be loaded, or has no chat template or no end-of-turn token.
    """
    from transformers import AutoModelForCausalLM

    model = load_weights(AutoModelForCausalLM, "judge_model", name, "auto")
    return Policy(model.eval(), load_chat(name, "judge_model"))


def read_next_token(probabilities: Any, tokenizer: Any, labels: tuple[str, ...]) -> Reply:
    """The labels' probabilities, given that the reply is one of them.

    Parameters
    ----------
    probabilities : Tensor, shape (vocabulary,)
        Of the token that would begin the reply.
    tokenizer : tokenizer
        Spells the tokens.
    labels : tuple of str
        What may be replied; spellings with blanks (" A") count with their label.
    """
    weights = {label: float(probabilities[ids].sum()) for label, ids in label_tokens(tokenizer, labels).items()}
    if sum(weights.values()) < LEAST_MASS:
        return Reply("unparsable")
    return Reply("ok", normalised(weights))


@remembered
def label_tokens(tokenizer: Any, labels: tuple[str, ...]) -> dict[str, list[int]]:
    """Token ids that spell each label, blanks aside."""
    found: dict[str, list[int]] = {label: [] for label in labels}
    for token, text in enumerate(tokenizer.batch_decode([[token] for token in range(len(tokenizer))])):
        if (label := parse_label(text, labels)) is not None:
            found[label].append(token)
    return found
