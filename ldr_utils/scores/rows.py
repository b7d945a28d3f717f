"""``results.csv``: every number of a study in one tidy table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.scores.stats import Interval, mean_interval
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import Common

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


def summarise(
    table: pd.DataFrame, column: str, params: Common, arm: str, model: str, task: str
) -> list[dict[str, Any]]:
    """Rows of results.csv for one metric: every language, and ``avg`` over the splits train, unseen and all."""
    scores = wide(table, column)
    by_language = mean_interval(scores[[lang for lang in params.all_languages if lang in scores]])
    every = by_language.pop("avg")
    found = rows(params, arm, model, task, column, by_language)
    for split, languages in (("train", params.languages), ("unseen", params.unseen)):
        if present := [lang for lang in languages if lang in scores]:
            average = mean_interval(scores[present])["avg"]
            found += rows(params, arm, model, task, column, {"avg": average}, split)
    return found + rows(params, arm, model, task, column, {"avg": every}, "all")
