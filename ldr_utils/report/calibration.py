"""What ``ldr judge-check`` found of a study's judge, where a run has it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ldr_utils.judges.labelled import KINDS, MEANING
from ldr_utils.scores.stats import AVERAGE
from ldr_utils.study.params import ReportParams
from ldr_utils.study.paths import Run

NOTE = (
    "A few dozen pairs a language that we made, all in both orders: "
    + "; ".join(f"*{kind}*: {MEANING[kind]}" for kind in KINDS)
    + ". *Consistent* is the share of pairs for which both orders name the same winner. A judge that fails here is of"
    " no use; one that passes sees plain faults, which says nothing of fine ones, of style or of long answers."
)


def read(run: Run) -> pd.DataFrame:
    """Rows of ``scores.judge_check.summary``; empty where the judge was not checked."""
    path = run.judge_check
    return pd.read_csv(path, dtype={"lang": str}, keep_default_na=True) if path.exists() else pd.DataFrame()


def files(params: ReportParams) -> list[Path]:
    """What a report shows of judges, as far as it is there."""
    runs = [Run.at(folder) for folder in params.runs] or [Run.at(params.run_dir)]
    return [run.judge_check for run in runs if run.judge_check.exists()]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table for each judge by its name, with its protocol where that is not both orders."""
    if not len(rows):
        return {}
    shown = rows["judge"].where(rows["protocol"] == "both_orders", rows["judge"] + " (" + rows["protocol"] + ")")
    return {str(name): table(own) for name, own in rows.groupby(shown, sort=False)}


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
