"""The body of a chat completion, as OpenAI and the servers compatible with it send it; only what a judge needs.

Servers differ in what they leave out and in how they fill optional parts. The reply is what was paid for: whatever else
is odd in a body is passed over, and does not cost the verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ldr_utils.judges.reply import (
    THINKS,
    Reply,
    is_page,
    normalised,
    parse_label,
    spelled_label,
    unusable_status,
    without_thoughts,
)
from ldr_utils.languages.thoughts import CLOSES

LONGEST_QUOTE = 200  # characters of a reply that are kept where it is no verdict


@dataclass(frozen=True)
class Completion:
    """What came back for one question.

    Attributes
    ----------
    text : str
        The model's reply.
    refused : bool
        Whether model or server would not judge.
    cut : bool
        Whether the reply ended for want of tokens.
    thinks : bool
        Whether the model thought first, in the reply or beside it.
    tokens : tuple of int or None
        Tokens read and written, where the server counted them.
    logprobs : list
        One entry a token of the reply, in whatever state; empty where there is none.
    """

    text: str
    refused: bool
    cut: bool
    thinks: bool
    tokens: tuple[int, int] | None
    logprobs: list[Any]

    @property
    def out_of_tokens(self) -> bool:
        """Whether the tokens ran out before the reply proper began."""
        return self.cut and (not self.text.strip() or without_thoughts(self.text) is None)

    @property
    def is_hiccup(self) -> bool:
        """Whether this is no reply of the model: nothing at all, or a page of some server."""
        return not self.refused and not self.out_of_tokens and (not self.text.strip() or is_page(self.text))


def read_completion(text: str) -> Completion | str:
    """The completion in the body ``text`` of an answer; ``text`` itself where it is a server's complaint.

    Raises
    ------
    ValueError
        When it is neither: not JSON, or without a choice and without a word.
    """
    body = json.loads(text)
    choice = at(body, "choices", 0)
    if at(body, "error") or at(choice, "error"):
        return text
    if not isinstance(choice, dict):
        raise ValueError("no choices")
    message = choice.get("message")
    reason = choice.get("finish_reason")
    thoughts = at(message, "reasoning_content") or at(message, "reasoning")
    said = _text(at(message, "content") or at(choice, "text"))
    return Completion(
        text=said,
        refused=bool(at(message, "refusal")) or reason == "content_filter",
        cut=reason == "length",
        thinks=any((thoughts, THINKS.match(said), CLOSES.search(said), reason == "length" and not said.strip())),
        tokens=_tokens(body),
        logprobs=found if isinstance(found := at(choice, "logprobs", "content"), list) else [],
    )


def read_reply(found: Completion, labels: Sequence[str], sampled: bool = False) -> Reply:
    """The verdict in a completion: the labels' probabilities where the server returned them, otherwise its label.

    Parameters
    ----------
    found : Completion
        What came back.
    labels : sequence of str
        What may be replied.
    sampled : bool
        Whether the reply was drawn at random, so that the probabilities of its first token count, whatever it is.
    """
    if found.refused:
        return Reply("refused", said=found.text[:LONGEST_QUOTE])
    if sampled and (weights := _first_weights(found.logprobs, labels)):
        return Reply("ok", weights)
    label = parse_label(found.text, labels)
    if label is None:
        return Reply(unusable_status(found.text), said=found.text.strip()[:LONGEST_QUOTE])
    return Reply("ok", _weights(found, label, labels) or {label: 1.0})


def _weights(found: Completion, label: str, labels: Sequence[str]) -> dict[str, float]:
    """Probabilities of the labels where ``label`` was written, after all thoughts; spellings (" A", "**A") included."""
    spelled = [str(at(position, "token") or "") for position in found.logprobs]
    place = verdict_place(spelled, label, labels, found.thinks)
    if place is None:
        return {}
    weights = _alternatives(found.logprobs[place], labels, exact=spelled_label(spelled[place], labels) is not None)
    return normalised(weights) if weights.get(label) else {}


def verdict_place(spelled: list[str], label: str, labels: Sequence[str], thinks: bool = False) -> int | None:
    """Where in a reply, token by token, its label stands: after all thoughts, whose end may not be among the tokens."""
    start = _after_thoughts(spelled)
    places = [k for k in range(start, len(spelled)) if parse_label(spelled[k], labels) == label]
    return next(iter(places[-1:] if thinks and start == 0 else places), None)


def _first_weights(logprobs: list[Any], labels: Sequence[str]) -> dict[str, float]:
    weights = _alternatives(logprobs[0], labels, exact=True) if logprobs else {}
    return normalised(weights) if sum(weights.values()) else {}


def _alternatives(position: Any, labels: Sequence[str], exact: bool) -> dict[str, float]:
    read = spelled_label if exact else parse_label
    weights: dict[str, float] = {}
    alternatives = at(position, "top_logprobs")
    for alternative in alternatives if isinstance(alternatives, list) else []:
        token, logprob = at(alternative, "token"), at(alternative, "logprob")
        if not isinstance(token, str) or not _is_logprob(logprob):
            continue
        if (label := read(token, labels)) is not None:
            weights[label] = weights.get(label, 0.0) + math.exp(logprob)
    return weights


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value) and value <= 1e-6


def _after_thoughts(tokens: list[str]) -> int:
    """Position of the first token after the last end of thoughts, which may be several tokens long."""
    ends = [found.end() for found in CLOSES.finditer("".join(tokens))]
    length, last = 0, ends[-1] if ends else 0
    for k, token in enumerate(tokens):
        if length >= last:
            return k
        length += len(token)
    return len(tokens)


def _tokens(body: Any) -> tuple[int, int] | None:
    counts = [at(body, "usage", name) for name in ("prompt_tokens", "completion_tokens")]
    known = [count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    return (known[0], known[1]) if len(known) == 2 else None


def _text(content: Any) -> str:
    """A message's text: as it is, or in parts, of which those that are thoughts do not count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(text for part in parts if isinstance(text := at(part, "text"), str))


def at(value: Any, *path: str | int) -> Any:
    """What lies at a path in JSON; None where there is no such place."""
    for key in path:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and len(value) > key:
            value = value[key]
        else:
            return None
    return value
