"""``results.csv``: every number of a study in one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.scores.stats import AVERAGE, Interval, mean_interval
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import ArmParams, Common

COLUMNS = ["study", "arm", "seed", "model", "task", "metric", "lang", "split", "value", "low", "high", "n"]


def split_of(lang: str, params: Common) -> str:
    """``train`` for languages the study trains on, ``unseen`` for the others."""
    return "train" if lang in params.languages else "unseen"


def splits(params: Common) -> dict[str, list[str]]:
    """The languages behind each average."""
    return {"train": params.languages, "unseen": params.unseen, "all": params.all_languages}


def plain(value: Any, n: int) -> Interval:
    """A count, or a figure that describes the answers at hand: without bounds."""
    return Interval(float(value), float("nan"), float("nan"), n)


def times(factor: float, i: Interval) -> Interval:
    """An interval in other units, such as points of a scale."""
    return Interval(factor * i.value, factor * i.low, factor * i.high, i.n)


def rows(
    params: Common,
    arm: str,
    model: str,
    task: str,
    metric: str,
    values: Mapping[str, Interval],
    split: str | None = None,
) -> list[dict[str, Any]]:
    """One row a language; ``split`` overrides the language's own (for averages over several)."""
    base = {"study": params.study, "arm": arm, "seed": params.seed, "model": model, "task": task, "metric": metric}
    return [
        base
        | {"lang": lang, "split": split or split_of(lang, params)}
        | {"value": i.value, "low": i.low, "high": i.high, "n": i.n}
        for lang, i in values.items()
    ]


class Rows:
    """Rows of results.csv of one model and one task, in the order in which they are added.

    Parameters
    ----------
    params : ArmParams
        Study, seed, arm, languages, and the model: M_t.
    task : str
        What the rows are of, such as ``mgsm``.
    model : str
        In place of M_t: two models that were compared, such as ``M1-vs-M0``.

    Attributes
    ----------
    rows : list of dict
        With the keys ``COLUMNS``.
    """

    def __init__(self, params: ArmParams, task: str, model: str = "") -> None:
        self.params, self.task, self.model = params, task, model or f"M{params.t}"
        self.rows: list[dict[str, Any]] = []

    def add(self, metric: str, table: pd.DataFrame, column: str | None = None, points: float = 1) -> None:
        """Add means with their bounds (``stats.mean_interval``): of every language, and averaged over each split.

        Parameters
        ----------
        metric : str
            Name of the figure.
        table : DataFrame
            ``id``, ``lang`` and the scores, in [0, 1], NaN where an answer does not count; a language without any has
            no row.
        column : str, optional
            The scores, where they are not in the column ``metric``.
        points : float
            How much a score of 1 counts for, such as 10 on a scale from 0 to 10.
        """
        scores = wide(table, column or metric)
        present = [lang for lang in self.params.all_languages if lang in scores and scores[lang].notna().any()]
        if not present:
            return
        each = mean_interval(scores[present])
        self.add_values(metric, {lang: times(points, each[lang]) for lang in present})
        self.add_averages(metric, lambda languages: times(points, mean_interval(scores[languages])[AVERAGE]), present)

    def add_with(self, metric: str, interval_of: Callable[[list[str]], Interval], languages: Sequence[str]) -> None:
        """Add a figure that is no plain mean: of each of ``languages``, and averaged over each split.

        Parameters
        ----------
        metric : str
            Name of the figure.
        interval_of : callable
            Value and bounds of the figure for one language, or averaged over several.
        languages : sequence of str
            Those that have the figure, in the order of their rows.
        """
        self.add_values(metric, {lang: interval_of([lang]) for lang in languages})
        self.add_averages(metric, interval_of, languages)

    def add_averages(self, metric: str, interval_of: Callable[[list[str]], Interval], languages: Sequence[str]) -> None:
        """Add the averages of ``add_with`` alone: over those of ``languages`` that are in a split, if any."""
        for split, members in splits(self.params).items():
            if present := [lang for lang in members if lang in languages]:
                self.add_values(metric, {AVERAGE: interval_of(present)}, split)

    def add_values(self, metric: str, values: Mapping[str, Interval], split: str | None = None) -> None:
        """Add a figure of some languages as it is; ``split`` is that of an average."""
        self.rows += rows(self.params, self.params.arm, self.model, self.task, metric, values, split)


def write_rows(path: Path, table: list[dict[str, Any]]) -> pd.DataFrame:
    """Write rows as CSV with six decimals, in the order given, and return them as a table."""
    frame = pd.DataFrame(table, columns=COLUMNS)
    write_text(path, frame.to_csv(index=False, float_format="%.6f"))
    return frame


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of a ``results.csv``."""
    return pd.read_csv(path, dtype={"lang": str, "model": str, "arm": str})


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Problems by languages, as ``stats`` wants it."""
    return table.pivot(index="id", columns="lang", values=column)
