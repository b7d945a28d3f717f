"""Pairwise judging: one interface for every judge, both orders always, and figures from verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from ldr_utils.records import Record


class Judge(Protocol):
    """Anything that can compare two answers to one prompt.

    Attributes
    ----------
    name : str
        Shown beside every figure.
    """

    name: str

    def prefer(self, record: Record, first: str, second: str) -> float:
        """Preference for the answer shown first: 1 better, 0 worse, between them undecided."""
        ...

    def score(self, record: Record, answer: str) -> float:
        """Quality of one answer, 0 to 10."""
        ...


def compare(judge: Judge, prompts: Sequence[Record], ours: Sequence[str], theirs: Sequence[str]) -> pd.DataFrame:
    """Judge ``ours`` against ``theirs`` in both orders.

    Returns
    -------
    DataFrame
        One row a prompt: ``id``, ``lang``, ``ours_first`` and ``ours_second`` (preference for ours in each order),
        ``preference`` (their mean), ``flip`` (the two orders name different winners), ``length_difference``
        (characters, ours minus theirs).
    """
    rows = []
    for record, own, other in zip(prompts, ours, theirs, strict=True):
        ours_first = judge.prefer(record, own, other)
        ours_second = 1.0 - judge.prefer(record, other, own)
        rows.append(
            {
                "id": record["id"],
                "lang": record["lang"],
                "ours_first": ours_first,
                "ours_second": ours_second,
                "preference": (ours_first + ours_second) / 2,
                "flip": (ours_first - 0.5) * (ours_second - 0.5) < 0,
                "length_difference": len(own) - len(other),
            }
        )
    return pd.DataFrame(rows)


def length_controlled(verdicts: pd.DataFrame) -> float:
    """Win rate if both answers were equally long.

    A two-term logistic model, ``logit P(win) = a + b * tanh(d / sd(d))`` with d the length difference in characters,
    fitted on soft labels; the figure is ``sigmoid(a)`` (the length term of AlpacaEval 2, Dubois et al. 2024, without
    its per-instruction difficulty, which needs many models). Where all preferences agree or all lengths are equal
    there is nothing to control for, and the plain win rate is returned.
    """
    from sklearn.linear_model import LogisticRegression

    preference = verdicts["preference"].to_numpy(float)
    spread = verdicts["length_difference"].to_numpy(float)
    if spread.std() == 0 or preference.min() == preference.max():
        return float(preference.mean())
    length = np.tanh(spread / spread.std())
    model = LogisticRegression(C=1e6, max_iter=1000, tol=1e-8)
    model.fit(
        np.concatenate([length, length])[:, None],
        np.concatenate([np.ones_like(preference), np.zeros_like(preference)]),
        sample_weight=np.concatenate([preference, 1 - preference]),
    )
    return float(1 / (1 + np.exp(-model.intercept_[0])))


def outcome(preference: pd.Series) -> pd.DataFrame:
    """Head-to-head outcomes as three indicator columns: ``h2h_win``, ``h2h_tie``, ``h2h_lose``."""
    return pd.DataFrame(
        {"h2h_win": preference > 0.5, "h2h_tie": preference == 0.5, "h2h_lose": preference < 0.5}, dtype=float
    )


def agreement(judge: Judge, prompt: Record, chosen: str, rejected: str) -> float | None:
    """1 when the judge prefers the chosen side, 0 when the rejected one, None when it sees a tie (both orders)."""
    preference = (judge.prefer(prompt, chosen, rejected) + (1.0 - judge.prefer(prompt, rejected, chosen))) / 2
    return None if preference == 0.5 else float(preference > 0.5)


def make_judge(name: str, languages: list[str]) -> Judge:
    """The judge that the params name; ``rubric`` is the micro world's."""
    from ldr_utils.micro.rubric import RubricJudge

    judges = {"rubric": RubricJudge}
    return judges[name](languages)
