"""What a judge model replied, and the one rule by which it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ldr_utils.judges.verdicts import Status

# Decides how an unusable reply is counted, never what a verdict is.
REFUSAL = re.compile(
    r"(i['’]?m |i am )?(very )?(sorry|unable|not able)\b|i (cannot|can['’]?t|won['’]?t)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Reply:
    """A judge model's reply.

    Attributes
    ----------
    status : str
        See ``judging.Verdict``.
    weights : dict of str to float
        Probability of every label, summing to 1; empty unless ``status`` is ok.
    usd : float
        What it cost.
    """

    status: Status
    weights: dict[str, float] = field(default_factory=dict)
    usd: float = 0.0


def parse_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that ``text`` is, blanks around it aside; None for anything else.

    A label inside a longer reply does not count, so that nothing quoted from an answer can pose as a verdict.
    """
    found = text.strip()
    return found if found in labels else None


def unusable_status(text: str) -> Status:
    """How a reply that is no label is counted."""
    return "refused" if REFUSAL.match(text.strip()) else "unparsable"


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1."""
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}
