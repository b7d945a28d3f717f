"""A judge through transformers: the next token's probabilities, read from one forward pass where that is the reply."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache as remembered
from typing import Any

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.chat import LONGEST_QUOTE, verdict_place
from ldr_utils.judges.prompted import Question, full_name
from ldr_utils.judges.refusals import MAX_TOKENS
from ldr_utils.judges.reply import (
    THINKS,
    Reply,
    normalised,
    parse_label,
    spelled_label,
    unusable_status,
    without_thoughts,
)
from ldr_utils.policy.chat import Settings
from ldr_utils.policy.generate import batches_by_length, own_decoding
from ldr_utils.policy.load import Policy, load_chat, load_weights
from ldr_utils.study.params import JudgeParams

LEAST_MASS = 0.01  # of all labels together: below it the model is about to say something else first
TAIL = 12  # tokens of a prompt in which a template may open the model's thoughts

Labels = tuple[str, ...]


class LocalModel:
    """A chat model in this process; it is loaded when the first question comes.

    Where the model is about to reply with a label, it is read as if it could reply with nothing else, which an endpoint
    cannot be asked for in one way that all servers know: a model that would rather chat gives verdicts here and
    unparsable replies there. A model that obeys gives the same verdicts in both places. Where something else comes
    first (thoughts, ``**A**``), the reply is written out and read as an endpoint's is.

    Parameters
    ----------
    params : JudgeParams
        Folder or hub name of the model, questions in one forward pass, room for thoughts, the template's parameters.
    """

    def __init__(self, params: JudgeParams) -> None:
        self.name = full_name(params)
        self.params = params
        self._policy: Policy | None = None
        self._room = MAX_TOKENS  # until the model is seen to think

    def replies(self, questions: Mapping[str, Question], cache: VerdictCache) -> Iterator[tuple[str, Reply]]:
        """Replies batch by batch (see ``prompted.JudgeModel``).

        Batches are the same on every run, so that what padding does to the last bits of a float does not depend on
        where a run broke.
        """
        if all(key in cache for key in questions):
            return
        self._policy = self._policy or load_judge(self.params.judge_model, self.params.judge_template_kwargs)
        keys = list(questions)
        prompts = [self._policy.prompt_ids(questions[key].messages) for key in keys]
        longest = getattr(self._policy.model.config, "max_position_embeddings", None) or math.inf
        for i, ids in enumerate(prompts):
            if len(ids) >= longest and keys[i] not in cache:
                yield keys[i], Reply("failed", said=f"{len(ids)} tokens, of {longest} that the model reads")
        fitting = [i for i, ids in enumerate(prompts) if len(ids) < longest]
        for batch in batches_by_length([len(prompts[i]) for i in fitting], self.params.judge_batch_size):
            chosen = [fitting[k] for k in batch]
            if all(keys[i] in cache for i in chosen):
                continue
            found = self._answer([prompts[i] for i in chosen], [questions[keys[i]].labels for i in chosen])
            yield from ((keys[i], reply) for i, reply in zip(chosen, found, strict=True) if keys[i] not in cache)

    def _answer(self, prompts: list[list[int]], labels: list[Labels]) -> list[Reply]:
        """Replies that begin with a label are read at once, the others are written out."""
        found: list[Reply | None] = [None] * len(prompts)
        if not self._opens_thoughts(prompts[0]):
            found = self._next_tokens(prompts, labels)
        later = [k for k, reply in enumerate(found) if reply is None]
        written = self._written([prompts[k] for k in later], [labels[k] for k in later]) if later else []
        rest = iter(written)
        return [next(rest) if reply is None else reply for reply in found]

    def _next_tokens(self, prompts: list[list[int]], labels: list[Labels]) -> list[Reply | None]:
        import torch

        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
        positions = (padded["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(**padded, position_ids=positions, logits_to_keep=1).logits[:, -1]
        rows = logits.float().softmax(-1).cpu()
        return [read_next_token(row, tokenizer, own) for row, own in zip(rows, labels, strict=True)]

    def _written(self, prompts: list[list[int]], labels: list[Labels]) -> list[Reply]:
        """Replies in full: once more with room, where the first tokens show that the model thinks."""
        opener = "<think>" if self._opens_thoughts(prompts[0]) else ""
        if opener:
            self._room = self.params.judge_max_tokens
        found = self._generate(prompts)
        spelled = [[opener, *self._spell(ids)] for ids in found]
        if self._room == MAX_TOKENS and any(THINKS.match("".join(tokens)) for tokens in spelled):
            self._room = self.params.judge_max_tokens
            return self._written(prompts, labels)
        return [
            self._read(prompt, ids, tokens, own)
            for prompt, ids, tokens, own in zip(prompts, found, spelled, labels, strict=True)
        ]

    def _read(self, prompt: list[int], ids: list[int], spelled: list[str], labels: Labels) -> Reply:
        """A written reply: its label, weighed by the probabilities where it stands."""
        text = "".join(spelled)
        if without_thoughts(text) is None:
            return Reply("failed", said=f"{len(ids)} tokens were used up before a verdict")
        label = parse_label(text, labels)
        if label is None:
            return Reply(unusable_status(text), said=text.strip()[:LONGEST_QUOTE])
        place = verdict_place(spelled, label, labels)
        if place is None or spelled_label(spelled[place], labels) is None:
            return Reply("ok", {label: 1.0})
        return self._next_tokens([prompt + ids[: place - 1]], [labels])[0] or Reply("ok", {label: 1.0})

    def _generate(self, prompts: list[list[int]]) -> list[list[int]]:
        """What the model writes greedily, up to the end of its turn."""
        import torch

        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            rows = model.generate(**padded, do_sample=False, max_new_tokens=self._room)
        stops = set(model.generation_config.eos_token_id)
        written = [row[padded["input_ids"].shape[1] :].tolist() for row in rows]
        return [ids[: next((k for k, token in enumerate(ids) if token in stops), len(ids))] for ids in written]

    def _spell(self, ids: list[int]) -> list[str]:
        spelled: list[str] = self._loaded.tokenizer.batch_decode([[token] for token in ids])
        return spelled

    def _opens_thoughts(self, prompt: list[int]) -> bool:
        """Whether the prompt ends within thoughts, which the template opened."""
        tail = "".join(self._spell(prompt[-TAIL:])).rstrip()
        return any(found.end() == len(tail) for found in THINKS.finditer(tail))

    @property
    def _loaded(self) -> Policy:
        assert self._policy is not None
        return self._policy


def judge_settings(template_kwargs: Mapping[str, Any]) -> Settings:
    """What a judge's chat template is told; the judge may think before its verdict."""
    return Settings(dict(template_kwargs), thinks=True)


def load_judge(name: str, template_kwargs: Mapping[str, Any] | None = None) -> Policy:
    """Load a chat model for judging; it generates greedily, whatever its own files ask for.

    Parameters
    ----------
    name : str
        Folder or hub name.
    template_kwargs : dict, optional
        What its chat template is told.

    Raises
    ------
    InputError
        When it cannot be loaded or spoken to.
    """
    from transformers import AutoModelForCausalLM

    model = load_weights(AutoModelForCausalLM, "judge_model", name, "auto")
    chat = load_chat(name, "judge_model", judge_settings(template_kwargs or {}))
    model.generation_config = own_decoding(model.generation_config, chat)
    return Policy(model.eval(), chat)


def read_next_token(probabilities: Any, tokenizer: Any, labels: Labels) -> Reply | None:
    """The labels' probabilities, given that the reply is one of them; None where it begins with something else.

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
    return Reply("ok", normalised(weights)) if sum(weights.values()) >= LEAST_MASS else None


@remembered
def label_tokens(tokenizer: Any, labels: Labels) -> dict[str, list[int]]:
    """Token ids that spell each label, blanks aside."""
    found: dict[str, list[int]] = {label: [] for label in labels}
    for token, text in enumerate(tokenizer.batch_decode([[token] for token in range(len(tokenizer))])):
        if (label := spelled_label(text, labels)) is not None:
            found[label].append(token)
    return found
