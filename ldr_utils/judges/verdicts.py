"""Judging: one batch-wise interface for every judge, both orders unless a protocol says otherwise, and its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import pandas as pd

from ldr_utils.study.records import Asked, Exchange, Record

Status = Literal["ok", "refused", "unparsable", "failed"]
UNUSABLE: tuple[Status, ...] = ("refused", "unparsable", "failed")


@dataclass(frozen=True)
class Case:
    """Two answers to the prompt of ``record``, in the order in which they are shown."""

    record: Asked
    first: str
    second: str


@dataclass(frozen=True)
class Answer:
    """One answer to the prompt of ``record``; a judge that is a rubric knows nothing of the rest.

    Attributes
    ----------
    earlier : sequence of Exchange
        What was said before the prompt.
    reference : str
        An answer that is known to be right; mostly there is none.
    """

    record: Asked
    text: str
    earlier: Sequence[Exchange] = ()
    reference: str = ""


@dataclass(frozen=True)
class Verdict:
    """Preference for the answer shown first: 1 better, 0 worse, between them undecided; None unless ``status`` is ok.

    ``refused``: the judge would not judge. ``unparsable``: its reply is no verdict. ``failed``: the question could not
    be put to it (too long, say).
    """

    preference: float | None
    status: Status = "ok"


@dataclass(frozen=True)
class Score:
    """Quality of one answer, 0 to 10; None unless ``status`` is ok (see ``Verdict``)."""

    points: float | None
    status: Status = "ok"


class Judge(Protocol):
    """Anything that can compare two answers to one prompt, many at once.

    Attributes
    ----------
    name : str
        Shown beside every figure.
    protocol : str
        ``both_orders``, or ``alpaca_eval``: one order a case, drawn by its prompt.
    """

    name: str
    protocol: str

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order."""
        ...

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """One score an answer, in order."""
        ...


def compare(judge: Judge, cases: Sequence[Case]) -> pd.DataFrame:
    """Put every case to the judge as its protocol says; returns what ``both_orders`` does."""
    return one_order(judge, cases) if judge.protocol == "alpaca_eval" else both_orders(judge, cases)


def one_order(judge: Judge, cases: Sequence[Case]) -> pd.DataFrame:
    """Put every case to the judge once, in an order drawn by its prompt: the same for every model.

    Returns
    -------
    DataFrame
        As ``both_orders``: the order that was not asked has no preference, and whether the verdict would have flipped
        is not known (NaN).
    """
    swapped = [hashlib.sha256(case.record["prompt"].encode()).digest()[0] % 2 == 1 for case in cases]
    asked = [
        Case(case.record, case.second, case.first) if swap else case for case, swap in zip(cases, swapped, strict=True)
    ]
    rows = [_single(verdict, swap) for verdict, swap in zip(judge.prefer(asked), swapped, strict=True)]
    return pd.DataFrame(rows, columns=["ours_first", "ours_second", "preference", "flip", "status"])


def _single(verdict: Verdict, swapped: bool) -> Record:
    found = float("nan") if verdict.preference is None else verdict.preference
    preference = 1.0 - found if swapped else found
    sides = {"ours_first": float("nan"), "ours_second": float("nan")}
    sides["ours_second" if swapped else "ours_first"] = preference
    return {**sides, "preference": preference, "flip": float("nan"), "status": verdict.status}


def both_orders(judge: Judge, cases: Sequence[Case]) -> pd.DataFrame:
    """Put every case to the judge twice, the second time with the answers swapped.

    Returns
    -------
    DataFrame
        One row a case: ``ours_first`` and ``ours_second`` (preference for ``case.first`` in each order), ``preference``
        (their mean), ``flip`` (the two orders name different winners), ``status``. A single order says more about the
        judge's taste for positions than about the answers: unless both are ok, the case has no preference (NaN).
    """
    verdicts = judge.prefer([*cases, *(Case(case.record, case.second, case.first) for case in cases)])
    return pd.DataFrame(
        [_row(*orders) for orders in zip(verdicts[: len(cases)], verdicts[len(cases) :], strict=True)],
        columns=["ours_first", "ours_second", "preference", "flip", "status"],
    )


def _row(straight: Verdict, swapped: Verdict) -> Record:
    ours_first = float("nan") if straight.preference is None else straight.preference
    ours_second = float("nan") if swapped.preference is None else 1.0 - swapped.preference
    return {
        "ours_first": ours_first,
        "ours_second": ours_second,
        "preference": (ours_first + ours_second) / 2,
        "flip": (ours_first - 0.5) * (ours_second - 0.5) < 0,
        "status": straight.status if swapped.status == "ok" else swapped.status,
    }


def against(judge: Judge, prompts: Sequence[Asked], ours: Sequence[str], theirs: Sequence[str]) -> pd.DataFrame:
    """Judge ``ours`` against ``theirs``, in both orders or as the judge's protocol says.

    Returns
    -------
    DataFrame
        One row a prompt: ``id``, ``lang``, the columns of ``both_orders``, and ``length_difference`` (characters, ours
        minus theirs).
    """
    cases = [Case(*sides) for sides in zip(prompts, ours, theirs, strict=True)]
    table = compare(judge, cases)
    table.insert(0, "id", [case.record["id"] for case in cases])
    table.insert(1, "lang", [case.record["lang"] for case in cases])
    table["length_difference"] = [len(case.first) - len(case.second) for case in cases]
    return table


def judged(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a preference: all that a win rate is made of."""
    return verdicts[verdicts["status"] == "ok"]


def unusable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows without a verdict by language, one column a status: what the figures beside it leave out."""
    return pd.DataFrame({status: (table["status"] == status).groupby(table["lang"]).sum() for status in UNUSABLE})


def outcome(preference: pd.Series) -> pd.DataFrame:
    """Head-to-head outcomes as three indicator columns: ``h2h_win``, ``h2h_tie``, ``h2h_lose``."""
    return pd.DataFrame(
        {"h2h_win": preference > 0.5, "h2h_tie": preference == 0.5, "h2h_lose": preference < 0.5}, dtype=float
    )


def agrees(judge: Judge, cases: Sequence[Case]) -> pd.DataFrame:
    """Whether the judge prefers ``case.first``, asked as its protocol says.

    Returns
    -------
    DataFrame
        One row a case: ``agrees`` (1, or 0 where it prefers the other; NaN for a tie and where ``status`` is not ok),
        ``status``.
    """
    table = compare(judge, cases)
    decided = (table["status"] == "ok") & (table["preference"] != 0.5)
    agrees = (table["preference"] > 0.5).astype(float).where(decided)
    return pd.DataFrame({"agrees": agrees, "status": table["status"]})
