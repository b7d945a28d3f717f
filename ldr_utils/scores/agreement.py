"""Agreement between two judges on the same answers: how much of a win rate is the judge's own taste."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ldr_utils.judges.verdicts import judged, outcome
from ldr_utils.scores.rows import Rows
from ldr_utils.scores.stats import NORMAL, Floats, Interval
from ldr_utils.study.params import AlpacaParams

TASK = "x_alpacaeval"
RESAMPLES = 1000


def both_judged(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The cases on which both judges have a verdict (see ``verdicts.against``).

    Returns
    -------
    DataFrame
        ``id``, ``lang``, ``first`` and ``second`` (0 win, 1 tie, 2 loss), ``judge_agreement`` (1 where they are equal).
    """
    sides = []
    for name, verdicts in (("first", first), ("second", second)):
        known = judged(verdicts)
        sides.append(known[["id", "lang"]].assign(**{name: outcome(known["preference"]).to_numpy().argmax(axis=1)}))
    both = sides[0].merge(sides[1], on=["id", "lang"])
    return both.assign(judge_agreement=(both["first"] == both["second"]).astype(float))


def agreement_table(both: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """By language: cases that both judges decided, raw agreement, and Cohen's kappa."""
    groups = both.groupby("lang")
    table = pd.DataFrame(
        {
            "cases": groups.size(),
            "judge_agreement": groups["judge_agreement"].mean(),
            "judge_kappa": {lang: float(cohen_kappa(_counts(group))) for lang, group in groups},
        }
    )
    return table.reindex(languages)


def result_rows(both: pd.DataFrame, params: AlpacaParams) -> list[dict[str, Any]]:
    """Rows of results.csv: raw agreement and kappa of the two judges, by language and averaged.

    The bounds of kappa are 1.96 standard errors, taken from problems resampled with their languages together.
    There are no rows where the judges have no case in common.
    """
    if both.empty:
        return []
    found = Rows(params, TASK)
    found.add("judge_agreement", both)
    values = pd.Series({str(lang): float(cohen_kappa(_counts(group))) for lang, group in both.groupby("lang")})
    draws = _draws(both, params.seed)

    def interval(languages: list[str]) -> Interval:
        value, spread = float(values[languages].mean()), NORMAL * float(draws[languages].mean(axis=1).std())
        n = both.loc[both["lang"].isin(languages), "id"].nunique()
        return Interval(value, max(-1.0, value - spread), min(1.0, value + spread), n)

    found.add_with("judge_kappa", interval, list(values.index))
    return found.rows


def _counts(both: pd.DataFrame) -> Floats:
    counts: Floats = np.zeros((3, 3))
    np.add.at(counts, (both["first"].to_numpy(), both["second"].to_numpy()), 1)
    return counts


def _draws(both: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Kappa of resampled problems, shape (resamples, languages); a drawn problem brings all of its languages."""
    problems = pd.Index(both["id"].unique())
    share = np.full(len(problems), 1 / len(problems))
    drawn = np.random.default_rng(seed).multinomial(len(problems), share, RESAMPLES).astype(float)
    found = {}
    for lang, group in both.groupby("lang"):
        cells = np.zeros((len(problems), 9))
        cells[problems.get_indexer(group["id"]), 3 * group["first"] + group["second"]] = 1
        found[str(lang)] = cohen_kappa((drawn @ cells).reshape(-1, 3, 3))
    return pd.DataFrame(found)


def cohen_kappa(counts: Floats) -> Floats:
    """Agreement beyond chance: Cohen's kappa (1960, Educ. Psychol. Meas. 20:37).

    Parameters
    ----------
    counts : array, shape (..., k, k)
        How often one judge said the row's category while the other said the column's.

    Returns
    -------
    array, shape (...)
        1 for perfect agreement, 0 for what chance would give; NaN without counts, and where both judges always said
        the same one thing, which leaves nothing to agree on.
    """
    total = counts.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = counts / total[..., None, None]
        observed = np.trace(joint, axis1=-2, axis2=-1)
        expected = (joint.sum(axis=-1) * joint.sum(axis=-2)).sum(axis=-1)
        kappa: Floats = np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)
    return kappa
