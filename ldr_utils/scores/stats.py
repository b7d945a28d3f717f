"""Intervals, paired comparisons and multiplicity correction for scores on problems shared by every language.

A score table has one row a problem and one column a language, scores in [0, 1], NaN where a problem has no row in a
language. A problem is the unit of sampling: its languages vary, or are flipped, together, because a problem that is
hard in one language tends to be hard in all of them. A table from `combine_seeds` has the index (seed, problem):
problems are then sampled within their seed, and every seed weighs the same, however many problems it has.

Bounds are score bounds at an effective number of problems: Wilson's (1927, JASA 22:209) for a mean, Tango's (1998,
Statist. Med. 17:891) for a paired difference. Both are made for one column of zeros and ones. Averages over languages
and seeds, and scores with ties, get the number of problems whose binary scores would have the variance that the means
have here, as in surveys (Korn & Graubard, 1998, Surv. Methodol. 24:193), and Student's t quantile. In the settings of
`benchmarks/interval_coverage.py`, where these cover 93-98 % of the time, percentile bootstrap bounds, which are more
common, covered 92 % near 0 and 88 % for a difference over 30 problems.

Limits. Scores that all agree say nothing about their variance: problems then count as if the languages of each were
perfectly correlated, which is on the wide side. Seeds are taken as given: `seed_spread` shows the variation between
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AVERAGE = "avg"
SEED_LEVELS = ["seed", "problem"]
NORMAL = 1.959964  # 97.5 % point of the standard normal distribution: 95 % bounds from a standard error
NOTHING = 1e-12  # below this a spread is rounding
BLOCK = 1000  # permutations at once: bounds memory

Floats: TypeAlias = NDArray[np.float64]
Strata: TypeAlias = list[NDArray[np.intp]]


@dataclass(frozen=True)
class Interval:
    """A figure, most often a mean score in [0, 1], its bounds, and the number of problems with a value."""

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


def mean_interval(scores: pd.DataFrame, *, level: float = 0.95) -> dict[str, Interval]:
    """Mean of every column and, as "avg", the mean of those means, with Wilson bounds (see the module).

    Parameters
    ----------
    scores : DataFrame, shape (problems, languages)
        Scores in [0, 1], NaN where missing; index = problem, or (seed, problem) from `combine_seeds`.
    level : float
        Coverage of the bounds, in (0, 1).

    Raises
    ------
    ValueError
        Table empty, a column without values (in a seed), repeated labels, scores outside [0, 1], or a level outside
        (0, 1).
    """
    values, strata = _checked(scores)
    value, variance, n = _moments(values, strata)
    low, high = wilson(value, variance, n, level)
    rows = zip(value.tolist(), low.tolist(), high.tolist(), _sizes(values), strict=True)
    return dict(zip([*scores.columns, AVERAGE], (Interval(*row) for row in rows), strict=True))


def wilson(value: Floats, variance: Floats, n: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson bounds of rates whose variance is known or estimated.

    Parameters
    ----------
    value, variance, n : arrays of one shape
        Rates in [0, 1], the variance of each (of the rate, not of single scores), and the problems behind it.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : arrays of that shape
        With 0 <= low <= value <= high <= 1.
    """
    t = _quantile(n, level)
    share = t**2 / _effective(value * (1 - value), variance, n, t)
    centre = (value + share / 2) / (1 + share)
    margin = np.sqrt(value * (1 - value) * share + share**2 / 4) / (1 + share)
    # Rounding can leave a bound that equals the value, or 0 or 1, just beyond it.
    return np.clip(centre - margin, 0, value), np.clip(centre + margin, value, 1)


def paired_difference(
    after: pd.DataFrame, before: pd.DataFrame, *, seed: int = 0, permutations: int = 10_000, level: float = 0.95
) -> dict[str, Difference]:
    """Mean of ``after - before`` for every column and "avg", with Tango bounds and a permutation p-value.

    p = (1 + #{|permuted| >= |observed|}) / (1 + permutations) (Phipson & Smyth, 2010), where a permutation swaps the
    two models on each problem, in all of its languages at once, with probability 1/2. It is not corrected for the
    number of columns (see `holm`).

    Parameters
    ----------
    after, before : DataFrame, shape (problems, languages)
        As for `mean_interval`; same problems, languages and missing cells, in any order.
    seed, permutations
        Of the random generator; swaps drawn for p.
    level : float
        As for `mean_interval`.

    Raises
    ------
    ValueError
        As for `mean_interval`, or the tables differ in problems, languages or missing cells, or no permutations.
    """
    after_values, strata = _checked(after)
    _require_same("problems", after.index, before.index)
    _require_same("languages", after.columns, before.columns)
    before_values, _ = _checked(before.reindex(index=after.index, columns=after.columns))
    unpaired = (np.isnan(after_values) != np.isnan(before_values)).any(axis=0)
    if unpaired.any():
        raise ValueError(f"missing cells differ between the tables in {list(after.columns[unpaired])}")
    values = after_values - before_values
    value, variance, n = _moments(values, strata)
    changed, _, _ = _moments(np.abs(values), strata)
    low, high = _tango(value, changed, variance, n, level)
    p = _sign_flip_p(values, strata, np.random.default_rng(seed), permutations)
    rows = zip(value.tolist(), low.tolist(), high.tolist(), p.tolist(), _sizes(values), strict=True)
    return dict(zip([*after.columns, AVERAGE], (Difference(*row) for row in rows), strict=True))


def paired_ratio(after: pd.DataFrame, before: pd.DataFrame, *, level: float = 0.95) -> Interval:
    """Ratio of the mean of ``after`` to that of ``before``: of several languages, the geometric mean of their ratios.

    The bounds are those of its logarithm, whose variance is that of a / mean(a) - b / mean(b) over problems (Cochran,
    1977, Sampling Techniques, ch. 6), languages of a problem together, with Student's t.

    Parameters
    ----------
    after, before : DataFrame, shape (problems, languages)
        Amounts, at least 0, of the same problems and languages; a problem counts in a language where both have one.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    Interval
        All NaN where a language has no problem or a mean of 0; bounds NaN for fewer than two problems.
    """
    both = after.notna() & before.notna()
    a, b = after.where(both).to_numpy(np.float64), before.where(both).to_numpy(np.float64)
    n = int(both.any(axis=1).sum())
    totals = np.nansum(a, axis=0), np.nansum(b, axis=0)
    if not np.all(totals):
        return Interval(float("nan"), float("nan"), float("nan"), n)
    value = float(np.log(totals[0] / totals[1]).mean())
    relative = a / np.nanmean(a, axis=0) - b / np.nanmean(b, axis=0)
    variance = float(_moments(relative, _strata(after.index))[1][-1])
    if n < 2:
        return Interval(float(np.exp(value)), float("nan"), float("nan"), n)
    margin = float(_quantile(np.array([n]), level)[0] * np.sqrt(variance * n / (n - 1)))
    return Interval(float(np.exp(value)), float(np.exp(value - margin)), float(np.exp(value + margin)), n)


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


def _moments(values: Floats, strata: Strata) -> tuple[Floats, Floats, Floats]:
    """Means, their variances (linearised, languages of a problem together) and Kish's effective n, average last."""
    weights, residuals, mean = _weights(values, strata), np.zeros_like(values), np.zeros(values.shape[1])
    for rows in strata:
        own = np.nanmean(values[rows], axis=0)
        residuals[rows] = np.nan_to_num(values[rows] - own)
        mean += own
    variance = (_with_average(weights * residuals) ** 2).sum(axis=0)
    return _with_average(mean / len(strata)), variance, 1 / (_with_average(weights) ** 2).sum(axis=0)


def _quantile(n: Floats, level: float) -> Floats:
    """Two-sided quantiles of Student's t with n - 1 degrees of freedom (at least one)."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}")
    return np.asarray(stdtrit(np.maximum(n - 1, 1), 0.5 + level / 2), dtype=np.float64)


def _effective(spread: Floats, variance: Floats, n: Floats, t: Floats) -> Floats:
    """How many problems with a variance of ``spread`` each have a mean with this variance; n where nothing varies.

    Capped at (n / t)^2. Scores that are the same on every problem, all ties say, would count for infinitely many;
    capped, they leave room for the t^2 in n problems on which a rare deviation can have been missed, which is what
    the Wilson bound leaves beside 0 and 1.
    """
    ratio = np.divide(spread, variance, out=np.full_like(n, np.inf), where=variance > 0)
    return np.where(spread < NOTHING, n, np.minimum(ratio, np.maximum(n, (n / t) ** 2)))


def _tango(value: Floats, changed: Floats, variance: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    """Bounds at which Tango's score statistic equals the quantile; ``changed`` is the mean absolute difference."""
    t = _quantile(n, level)
    n = _effective(changed - value**2, variance, n, t)
    up, down = n * (changed + value) / 2, n * (changed - value) / 2

    def statistic(truth: Floats) -> Floats:
        linear = (2 * n - up + down) * truth - up - down
        root = np.sqrt(np.maximum(linear**2 + 8 * n * down * truth * (1 - truth), 0))
        error = (root - linear) / 2 + n * truth * (1 - truth)
        return np.asarray((up - down - n * truth) / np.sqrt(np.maximum(error, NOTHING)))

    bounds = []
    for end in (-1.0, 1.0):
        near, far = value, np.full_like(value, end)
        for _ in range(50):  # halvings: to the last digits of a double
            middle = (near + far) / 2
            inside = np.abs(statistic(middle)) < t
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        bounds.append(near)
    return bounds[0], bounds[1]


def _sign_flip_p(values: Floats, strata: Strata, rng: np.random.Generator, permutations: int) -> Floats:
    """Two-sided p-values, average last, shape (languages + 1,)."""
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, not {permutations}")
    shares = _with_average(_weights(values, strata) * np.nan_to_num(values))
    # Permutations that tie with the data must count as extreme although their sums round differently.
    observed, extreme = np.abs(shares.sum(axis=0)) - 1e-12, np.zeros(shares.shape[1])
    for first in range(0, permutations, BLOCK):
        signs = 2.0 * rng.integers(0, 2, size=(min(BLOCK, permutations - first), len(values)), dtype=np.int8) - 1.0
        extreme += (np.abs(signs @ shares) >= observed).sum(axis=0)
    p: Floats = (1.0 + extreme) / (1.0 + permutations)
    return p
