"""The body of a chat completion, as OpenAI and the servers compatible with it send it; only what a judge needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, Field

from ldr_utils.judges.reply import Reply, normalised, parse_label, unusable_status


class _Alternative(BaseModel):
    token: str
    logprob: float = Field(allow_inf_nan=False)


class _Position(BaseModel):
    token: str
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Usage(BaseModel):
    """Tokens that the server counted."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class Body(BaseModel):
    """A chat completion with at least one choice."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Usage | None = None


def read_reply(body: Body, labels: Sequence[str]) -> Reply:
    """The reply in ``body``: the labels' probabilities where the server returned them, otherwise the label it wrote."""
    choice = body.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Reply("refused")
    text = choice.message.content or ""
    label = parse_label(text, labels)
    if label is None:
        return Reply(unusable_status(text))
    return Reply("ok", _weights(choice.logprobs, label, labels) or {label: 1.0})


def _weights(logprobs: _Logprobs | None, label: str, labels: Sequence[str]) -> dict[str, float]:
    """Probabilities of the labels where ``label`` was written, spellings with blanks (" A") included."""
    positions = logprobs.content if logprobs and logprobs.content else []
    written = next((position for position in positions if position.token.strip() == label), None)
    weights: dict[str, float] = {}
    for alternative in (written.top_logprobs or []) if written else []:
        if (found := parse_label(alternative.token, labels)) is not None:
            weights[found] = weights.get(found, 0.0) + math.exp(alternative.logprob)
    return normalised(weights) if weights.get(label) else {}
