"""What ``ldr judge-check`` found of a study's judge, where a run has it."""

from __future__ import annotations

import pandas as pd

from ldr_utils.judges.labelled import KINDS, MEANING
from ldr_utils.scores.stats import AVERAGE
from ldr_utils.study.paths import Run

AGREEMENT = "agreement.csv"
NOTE = (
    "A few dozen pairs a language that we made, all in both orders: "
    + "; ".join(f"*{kind}*: {MEANING[kind]}" for kind in KINDS)
    + ". *Consistent* is the share of pairs for which both orders name the same winner. A judge that fails here is of no"
    " use; one that passes has shown that it sees plain faults, and nothing about fine ones, style or long answers."
)


def read(run: Run) -> pd.DataFrame:
    """Rows of ``scores.judge_check.summary``; empty where the judge was not checked."""
    path = run.judge_check / AGREEMENT
    return pd.read_csv(path, dtype={"lang": str}, keep_default_na=True) if path.exists() else pd.DataFrame()


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One judge's agreement as text, in percent: a row a language and the average, a column a kind."""
    text = [_cell(*values) for values in zip(rows["agreement"], rows["low"], rows["high"], strict=True)]
    cells = rows.assign(text=text).pivot(index="lang", columns="kind", values="text")
    consistent = 100 * rows.groupby("lang")["consistency"].mean()
    without = rows.groupby("lang")[["refused", "unparsable", "failed"]].sum().sum(axis=1)
    found = cells.reindex(columns=[kind for kind in KINDS if kind in cells])
    found = found.assign(consistent=[f"{x:.0f}" for x in consistent[found.index]], no_verdict=without[found.index])
    return found.loc[[*(lang for lang in dict.fromkeys(rows["lang"]) if lang != AVERAGE), AVERAGE]]


def _cell(value: float, low: float, high: float) -> str:
    return "" if pd.isna(value) else f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"
