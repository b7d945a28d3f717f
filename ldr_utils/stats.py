"""Intervals, paired comparisons and multiplicity correction for scores on problems shared by every language.

A score table has one row a problem and one column a language, scores in [0, 1], NaN where a problem has no row in a
language. A problem is the unit of sampling: its languages are drawn, or flipped, together, because a problem that is
hard in one language tends to be hard in all of them. A table from `combine_seeds` has the index (seed, problem):
problems are then resampled within their seed, and every seed weighs the same, however many problems it has.

Limits. Bounds are percentile bootstrap bounds (Efron & Tibshirani, 1993, ch. 13), too narrow for a handful of
problems. They shrink to a point where every resample agrees: `mean_interval` replaces that point by the Wilson bound
where all scores are 0 or all are 1; a column constant at another value, a single problem, and a difference that is
the same on every problem keep the point. Seeds are taken as given: `seed_spread` shows the variation between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AVERAGE = "avg"
SEED_LEVELS = ["seed", "problem"]

Floats: TypeAlias = NDArray[np.float64]
Strata: TypeAlias = list[NDArray[np.intp]]


@dataclass(frozen=True)
class Interval:
    """A mean score in [0, 1], its bounds, and the number of problems with a value."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """A mean paired difference in [-1, 1], its bounds, its two-sided p-value, and the number of problems compared."""

    value: float
    low: float
    high: float
    p: float
    n: int


def mean_interval(
    scores: pd.DataFrame, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> dict[str, Interval]:
    """Mean of every column and, as "avg", the mean of those means, with bootstrap bounds.

    All columns are read from the same resampled problems; where a resample holds no value of a column, the column's
    observed mean stands in. Where all scores are 0 or all are 1 the bound away from the value is Wilson's (1927, JASA
    22:209), z^2 / (n + z^2) from it, with n Kish's effective number of problems (n itself for one seed). "avg" gets
    it only where every column is at that value, and as if languages were perfectly correlated: on the wide side.

    Parameters
    ----------
    scores : DataFrame, shape (problems, languages)
        Scores in [0, 1], NaN where missing; index = problem, or (seed, problem) from `combine_seeds`.
    seed, resamples, level
        Of the random generator; bootstrap draws; coverage of the bounds, in (0, 1).

    Raises
    ------
    ValueError
        Table empty, a column without values (in a seed), repeated labels, scores outside [0, 1], no resamples.
    """
    values, strata = _checked(scores)
    value, low, high = _bootstrap(values, strata, np.random.default_rng(seed), resamples, level)
    squared_z = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    wilson = squared_z / (1 / (_with_average(_weights(values, strata)) ** 2).sum(axis=0) + squared_z)
    low, high = np.where(value == 1, 1 - wilson, low), np.where(value == 0, wilson, high)
    rows = zip(value.tolist(), low.tolist(), high.tolist(), _sizes(values), strict=True)
    return dict(zip([*scores.columns, AVERAGE], (Interval(*row) for row in rows), strict=True))


def paired_difference(
    after: pd.DataFrame, before: pd.DataFrame, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> dict[str, Difference]:
    """Mean of ``after - before`` for every column and "avg", with bootstrap bounds and a permutation p-value.

    p = (1 + #{|permuted| >= |observed|}) / (1 + resamples) (Phipson & Smyth, 2010), where a permutation swaps the two
    models on each problem, in all of its languages at once, with probability 1/2. It is not corrected for the number
    of columns (see `holm`).

    Parameters
    ----------
    after, before : DataFrame, shape (problems, languages)
        As for `mean_interval`; same problems, languages and missing cells, in any order.
    seed, resamples, level
        As for `mean_interval`; ``resamples`` is also the number of permutations.

    Raises
    ------
    ValueError
        As for `mean_interval`, or the tables differ in problems, languages or missing cells.
    """
    after_values, strata = _checked(after)
    _require_same("problems", after.index, before.index)
    _require_same("languages", after.columns, before.columns)
    before_values, _ = _checked(before.reindex(index=after.index, columns=after.columns))
    unpaired = (np.isnan(after_values) != np.isnan(before_values)).any(axis=0)
    if unpaired.any():
        raise ValueError(f"missing cells differ between the tables in {list(after.columns[unpaired])}")
    values, rng = after_values - before_values, np.random.default_rng(seed)
    value, low, high = _bootstrap(values, strata, rng, resamples, level)
    p = _sign_flip_p(values, strata, rng, resamples)
    rows = zip(value.tolist(), low.tolist(), high.tolist(), p.tolist(), _sizes(values), strict=True)
    return dict(zip([*after.columns, AVERAGE], (Difference(*row) for row in rows), strict=True))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's (1979, Scand. J. Statist. 6:65) step-down adjusted p-values, in the order given.

    The i-th smallest of m p-values becomes the maximum over j <= i of min(1, (m - j + 1) p_(j)). Raises ValueError
    for no p-values or one outside [0, 1].
    """
    if not p or not all(0 <= value <= 1 for value in p.values()):
        raise ValueError(f"Holm's correction needs p-values in [0, 1], not {dict(p)}")
    ascending = sorted(p, key=lambda key: p[key])
    stepped = np.array([p[key] for key in ascending]) * np.arange(len(p), 0, -1)
    adjusted = dict(zip(ascending, np.minimum(np.maximum.accumulate(stepped), 1).tolist(), strict=True))
    return {key: adjusted[key] for key in p}


def combine_seeds(per_seed: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack several seeds' score tables into one with the index (seed, problem), seeds numbered by position.

    Problems of two seeds count as independent draws even where their ids agree: seeds that score the same problems
    must be averaged problem by problem instead. Raises ValueError for no tables, a table that `mean_interval` would
    refuse, or tables that differ in languages.
    """
    if not per_seed:
        raise ValueError("no seeds to combine")
    for table in per_seed:
        _checked(table)
        if table.index.nlevels > 1:
            raise ValueError("a table is already combined: its index has the levels (seed, problem)")
        _require_same("languages", per_seed[0].columns, table.columns)
    return pd.concat(list(per_seed), keys=range(len(per_seed)), names=SEED_LEVELS)


def seed_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof = 1; NaN for one value) over seeds. Raises ValueError for no values."""
    if len(values) == 0:
        raise ValueError("no values to summarise")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), deviation


def _checked(scores: pd.DataFrame) -> tuple[Floats, Strata]:
    """Values, shape (problems, languages), and the row numbers of each seed (one group of all rows without seeds)."""
    if scores.empty:
        raise ValueError("the score table is empty")
    for name, labels in (("problems", scores.index), ("languages", scores.columns)):
        if not labels.is_unique:
            raise ValueError(f"repeated {name}: {list(labels[labels.duplicated()].unique())[:5]}")
    if AVERAGE in scores.columns:
        raise ValueError(f"the column name {AVERAGE!r} is reserved for the mean over languages")
    values = scores.to_numpy(dtype=np.float64, na_value=np.nan)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("scores must lie in [0, 1]")
    strata = _strata(scores.index)
    for rows in strata:
        absent = np.isnan(values[rows]).all(axis=0)
        if absent.any():
            raise ValueError(f"no scores (of a seed, if there are several) in {list(scores.columns[absent])}")
    return values, strata


def _strata(index: pd.Index) -> Strata:
    if index.nlevels == 1:
        return [np.arange(len(index))]
    if list(index.names) != SEED_LEVELS:
        raise ValueError(f"index levels must be {SEED_LEVELS} or a single level, not {list(index.names)}")
    numbers, _ = pd.factorize(index.get_level_values("seed"))
    return [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]


def _require_same(what: str, left: pd.Index, right: pd.Index) -> None:
    differing = sorted(map(str, set(left) ^ set(right)))
    if differing:
        raise ValueError(f"{len(differing)} {what} are in one table only: {', '.join(differing[:5])}")


def _sizes(values: Floats) -> list[int]:
    """Problems with a value in each column, and in any column for the average."""
    present = ~np.isnan(values)
    return [*present.sum(axis=0).tolist(), int(present.any(axis=1).sum())]


def _with_average(columns: Floats) -> Floats:
    """Append the mean of the last axis to it."""
    return np.concatenate([columns, columns.mean(axis=-1, keepdims=True)], axis=-1)


def _weights(values: Floats, strata: Strata) -> Floats:
    """What each cell weighs in its column's mean: shape of values, columns sum to 1, missing cells weigh 0."""
    weights = np.zeros_like(values)
    for rows in strata:
        present = ~np.isnan(values[rows])
        weights[rows] = present / (len(strata) * present.sum(axis=0))
    return weights


def _bootstrap(
    values: Floats, strata: Strata, rng: np.random.Generator, resamples: int, level: float
) -> tuple[Floats, Floats, Floats]:
    """Means and their percentile bounds, average last, each of shape (languages + 1,)."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    observed, draws = np.zeros(values.shape[1]), np.zeros((resamples, values.shape[1]))
    for rows in strata:
        part, n = values[rows], len(rows)
        present, means = ~np.isnan(part), np.nanmean(part, axis=0)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
        totals, sizes = counts @ np.where(present, part, 0.0), counts @ present.astype(np.float64)
        draws += np.divide(totals, sizes, out=np.tile(means, (resamples, 1)), where=sizes > 0)
        observed += means
    value, tail = _with_average(observed / len(strata)), (1 - level) / 2
    low, high = np.quantile(_with_average(draws / len(strata)), [tail, 1 - tail], axis=0)
    # Rounding, or very few resamples, can leave the observed mean just outside the percentiles.
    return value, np.minimum(low, value), np.maximum(high, value)


def _sign_flip_p(values: Floats, strata: Strata, rng: np.random.Generator, resamples: int) -> Floats:
    """Two-sided p-values, average last, shape (languages + 1,)."""
    shares = _with_average(_weights(values, strata) * np.nan_to_num(values))
    signs = rng.choice([-1.0, 1.0], size=(resamples, len(values)))
    # Permutations that tie with the data must count as extreme although their sums round differently.
    extreme = np.abs(signs @ shares) >= np.abs(shares.sum(axis=0)) - 1e-12
    p: Floats = (1.0 + extreme.sum(axis=0)) / (1.0 + resamples)
    return p
