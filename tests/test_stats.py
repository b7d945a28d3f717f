"""Statistics on score tables: hand-computed values, independent recomputation, calibration, refusals."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize  # type: ignore[import-untyped]
from scipy.stats import binom, norm, t  # type: ignore[import-untyped]

from ldr_utils.scores.stats import combine_seeds, holm, mean_interval, paired_difference, seed_spread
from ldr_utils.study.paths import ROOT

NAN = float("nan")


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(**columns: Sequence[float]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame.set_axis([f"p{row}" for row in range(len(frame))])


def binary(rng: np.random.Generator, problems: int, rates: list[float]) -> pd.DataFrame:
    draws = (rng.random((problems, len(rates))) < rates).astype(float)
    return pd.DataFrame(draws, columns=[f"l{i}" for i in range(len(rates))])


def quantile(n: float) -> float:
    return float(t.ppf(0.975, n - 1))


def score_bounds(value: float, n: float, quantile: float) -> list[float]:
    """Where |value - rate| is that many standard errors of the rate itself: Wilson's bounds, by root finding."""

    def excess(rate: float) -> float:
        return abs(value - rate) - quantile * math.sqrt(rate * (1 - rate) / n)

    return [optimize.brentq(excess, value, end, xtol=1e-12) for end in (0.0, 1.0)]


def bounds(frame: pd.DataFrame) -> dict[str, tuple[float, float]]:
    return {key: (x.low, x.high) for key, x in mean_interval(frame).items()}


def test_means_and_sizes_by_hand() -> None:
    got = mean_interval(table(de=[1, 0, 1, 1], sw=[0, NAN, 1, NAN]))
    assert {key: (x.value, x.n) for key, x in got.items()} == {"de": (0.75, 4), "sw": (0.5, 2), "avg": (0.625, 4)}


def test_average_weighs_languages_not_cells() -> None:
    assert mean_interval(table(de=[1, 1, 1, 1], sw=[0, NAN, NAN, NAN]))["avg"].value == 0.5


def test_bounds_of_right_and_wrong_are_wilsons() -> None:
    got = mean_interval(table(a=[1] * 7 + [0] * 13, b=[1] * 19 + [0]), level=0.95)
    for name, value in (("a", 0.35), ("b", 0.95)):
        assert [got[name].low, got[name].high] == pytest.approx(score_bounds(value, 20, quantile(20)), abs=1e-9)
    # A published value (Newcombe, 1998, Statist. Med. 17:857, method 3: 81 of 263); his quantile is the normal one.
    level = 2 * t.cdf(norm.ppf(0.975), 262) - 1
    published = mean_interval(table(a=[1] * 81 + [0] * 182), level=level)["a"]
    assert (round(published.low, 4), round(published.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("seeds", [1, 3])
def test_bounds_of_other_scores_are_those_at_the_problems_their_variance_is_worth(seeds: int) -> None:
    rng = np.random.default_rng(1)
    frames = [pd.DataFrame(rng.choice([0, 0.5, 1], (40, 2)), columns=["a", "b"]) for _ in range(seeds)]
    got = mean_interval(combine_seeds(frames) if seeds > 1 else frames[0])
    columns = {name: [frame[name].to_numpy() for frame in frames] for name in ("a", "b")}
    columns["avg"] = [frame.to_numpy().mean(1) for frame in frames]
    for name, parts in columns.items():
        value = np.mean([part.mean() for part in parts])
        variance = sum(part.var() / 40 for part in parts) / seeds**2
        expected = score_bounds(value, value * (1 - value) / variance, quantile(40 * seeds))
        assert [got[name].low, got[name].high] == pytest.approx(expected, abs=1e-9)


def test_languages_share_their_problems() -> None:
    score = list(binary(np.random.default_rng(2), 120, [0.5])["l0"])
    same = bounds(table(a=score, b=score, c=score, d=score))
    assert same["avg"] == pytest.approx(same["a"])
    # Counting the 480 cells one by one would claim half that width.
    cells = bounds(table(cells=score * 4))["cells"]
    assert same["avg"][1] - same["avg"][0] > 1.7 * (cells[1] - cells[0])


def test_scores_without_variance_leave_room_for_a_rare_deviation() -> None:
    """All ties, or languages that cancel on every problem: as Wilson leaves beside 0 and 1, not a point."""
    score = np.tile([0.0, 1.0], 40)
    got = bounds(table(a=list(score), b=list(1 - score), tie=[0.5] * 80))
    worth = (80 / quantile(80)) ** 2
    for name in ("avg", "tie"):
        assert got[name] == pytest.approx(score_bounds(0.5, worth, quantile(80)), abs=1e-9)
    assert got["tie"][1] - got["tie"][0] < 0.3 * (got["a"][1] - got["a"][0])


def test_bounds_of_a_column_do_not_depend_on_the_others() -> None:
    scores = binary(np.random.default_rng(3), 60, [0.3, 0.6])
    assert mean_interval(scores)["l1"] == mean_interval(scores[["l1"]])["l1"]


def test_seed_decides_the_permutations() -> None:
    rng = np.random.default_rng(4)
    after, before = binary(rng, 50, [0.6]), binary(rng, 50, [0.5])
    one, same, other = (paired_difference(after, before, seed=seed)["l0"] for seed in (1, 1, 2))
    assert one == same != other
    assert (one.value, one.low, one.high) == (other.value, other.low, other.high)


@pytest.mark.parametrize("seeds", [1, 6])
def test_all_wrong_and_all_right_by_hand(seeds: int) -> None:
    got = bounds(combine_seeds([table(zero=[0] * 10, one=[1] * 10)] * seeds))
    width = quantile(10 * seeds) ** 2 / (10 * seeds + quantile(10 * seeds) ** 2)
    assert got["zero"] == pytest.approx((0, width))
    assert got["one"] == pytest.approx((1 - width, 1))
    assert got["avg"][0] < 0.5 < got["avg"][1]


def test_only_problems_with_a_value_count_and_uneven_seeds_are_discounted() -> None:
    def width(n: float) -> float:
        return quantile(n) ** 2 / (n + quantile(n) ** 2)

    assert mean_interval(table(a=[0, 0, NAN], b=[0, 0, 1]))["a"].high == pytest.approx(width(2))
    uneven = combine_seeds([table(a=[0] * 2), table(a=[0] * 8)])
    assert mean_interval(uneven)["a"].high == pytest.approx(width(1 / (2 * 0.25**2 + 8 * 0.0625**2)))


@pytest.mark.parametrize("scores", [[0.5], [0.3, 0.3, 0.3], [0.5, NAN, NAN, NAN], [0.0], [1.0]])
def test_a_handful_of_equal_scores_says_little(scores: list[float]) -> None:
    got = mean_interval(table(a=scores))["a"]
    assert got.value == pytest.approx(scores[0])
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.high - got.low > 0.5


def test_difference_by_hand() -> None:
    after, before = table(de=[1, 1, 0, 1], sw=[1, 0, NAN, 0]), table(de=[0, 1, 0, 0], sw=[0, 0, NAN, 1])
    got = paired_difference(after, before)
    assert {key: (x.value, x.n) for key, x in got.items()} == {"de": (0.5, 4), "sw": (0, 3), "avg": (0.25, 4)}


def test_p_equals_the_enumerated_permutations() -> None:
    rng = np.random.default_rng(5)
    before, after = binary(rng, 9, [0.4, 0.5, 0.3]), binary(rng, 9, [0.7, 0.6, 0.9])
    delta = (after - before).to_numpy()
    delta = np.column_stack([delta, delta.mean(1)])
    flipped = np.array([np.array(s) @ delta for s in itertools.product([-1, 1], repeat=9)])
    exact = (np.abs(flipped) >= np.abs(delta.sum(0)) - 1e-9).mean(0)
    got = list(paired_difference(after, before, permutations=20_000).values())
    np.testing.assert_allclose([x.value for x in got], delta.mean(0))
    np.testing.assert_allclose([x.p for x in got], exact, atol=0.015)


def tango_bounds(up: float, down: float, n: float, quantile: float) -> list[float]:
    """Score bounds of (up - down) / n, the constrained estimate found by maximising the trinomial likelihood."""

    def score(truth: float) -> float:
        def surprise(down_rate: float) -> float:
            up_rate = down_rate + truth
            rest = 1 - up_rate - down_rate
            cells = ((up, up_rate), (down, down_rate), (n - up - down, rest))
            return -sum(count * math.log(max(rate, 1e-300)) for count, rate in cells)

        limits = (max(0.0, -truth), (1 - truth) / 2)
        down_rate = optimize.minimize_scalar(surprise, bounds=limits, method="bounded", options={"xatol": 1e-12}).x
        error = math.sqrt(n * (2 * down_rate + truth - truth**2))
        return abs(up - down - n * truth) / error - quantile

    value = (up - down) / n
    return [optimize.brentq(score, value, end, xtol=1e-10) for end in (-0.999, 0.999)]


def changes(up: int, down: int, same: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    return table(a=[1] * up + [0] * down + [1] * same), table(a=[0] * up + [1] * down + [1] * same)


@pytest.mark.parametrize(("up", "down", "same"), [(12, 5, 33), (3, 1, 96), (20, 20, 10), (1, 9, 10)])
def test_bounds_of_a_difference_are_tangos(up: int, down: int, same: int) -> None:
    got, n = paired_difference(*changes(up, down, same), permutations=1)["a"], up + down + same
    assert [got.low, got.high] == pytest.approx(tango_bounds(up, down, n, quantile(n)), abs=1e-5)


def test_bounds_of_a_difference_match_published_ones() -> None:
    # Airway hyper-responsiveness, 1 against 7 changes of 21 (Fagerland et al., 2014, Statist. Med. 33:2850).
    level = 2 * t.cdf(norm.ppf(0.975), 20) - 1
    got = paired_difference(*changes(1, 7, 13), level=level)["a"]
    assert (round(got.value, 3), round(got.low, 3), round(got.high, 3)) == (-0.286, -0.517, -0.026)


@pytest.mark.parametrize("seeds", [1, 2])
def test_bounds_of_other_differences_are_those_at_the_problems_their_variance_is_worth(seeds: int) -> None:
    rng = np.random.default_rng(11)
    pairs = [[pd.DataFrame(rng.choice([0, 0.5, 1], (60, 2)), columns=["a", "b"]) for _ in "ab"] for _ in range(seeds)]
    after, before = (combine_seeds(side) if seeds > 1 else side[0] for side in map(list, zip(*pairs, strict=True)))
    got = paired_difference(after, before)["avg"]
    deltas = [(one - other).to_numpy() for one, other in pairs]
    value, changed = np.mean([d.mean() for d in deltas]), np.mean([np.abs(d).mean() for d in deltas])
    variance = sum(d.mean(1).var() / 60 for d in deltas) / seeds**2
    n = (changed - value**2) / variance
    expected = tango_bounds(n * (changed + value) / 2, n * (changed - value) / 2, n, quantile(60 * seeds))
    assert [got.low, got.high] == pytest.approx(expected, abs=1e-5)


def test_equal_models_get_a_bound_of_their_own() -> None:
    """No change on 100 problems does not mean that none is possible."""
    score, width = table(a=[1, 0] * 50), quantile(100) ** 2 / (100 + quantile(100) ** 2)
    got = paired_difference(score, score)["a"]
    assert (got.value, got.p) == (0, 1)
    assert (got.low, got.high) == pytest.approx((-width, width))


def test_pairs_are_matched_by_label() -> None:
    rng = np.random.default_rng(6)
    after, before = binary(rng, 40, [0.5, 0.6]), binary(rng, 40, [0.4, 0.7])
    shuffled = before.sample(frac=1, random_state=0)[["l1", "l0"]]
    assert paired_difference(after, shuffled) == paired_difference(after, before)


def test_pairing_narrows_the_bounds_of_similar_models() -> None:
    before = binary(np.random.default_rng(7), 200, [0.5])
    after = before.copy()
    after.iloc[np.flatnonzero(before["l0"] == 0)[:10]] = 1.0
    paired, single = paired_difference(after, before)["l0"], mean_interval(after)["l0"]
    assert paired.value == pytest.approx(0.05)
    assert paired.low > 0
    assert paired.high - paired.low < 0.6 * (single.high - single.low)


def test_swapping_the_models_negates_the_difference() -> None:
    rng = np.random.default_rng(8)
    after, before = binary(rng, 50, [0.6]), binary(rng, 50, [0.4])
    there, back = paired_difference(after, before)["avg"], paired_difference(before, after)["avg"]
    assert (there.value, there.p) == (-back.value, back.p)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_p_by_hand() -> None:
    clear = paired_difference(table(a=[1] * 60), table(a=[0] * 60), permutations=999)["a"]
    none = paired_difference(table(a=[1, 0, 0.4]), table(a=[1, 0, 0.4]))["a"]
    single = paired_difference(table(a=[1]), table(a=[0]))["a"]
    assert (clear.p, none.p, single.p) == (1 / 1000, 1, 1)
    assert (clear.high, single.high) == (1, 1)
    assert clear.low == pytest.approx((60 - quantile(60) ** 2) / (60 + quantile(60) ** 2))
    assert single.low < 0


def test_p_counts_ties_that_round_differently() -> None:
    # Four differences of 0.1: 2 of 16 sign patterns tie with the data, so p is 1/8 however the sums are rounded.
    got = paired_difference(table(a=[0.1, 0.3, 0.8, 0.7]), table(a=[0, 0.2, 0.7, 0.6]), permutations=20_000)["a"]
    assert got.p == pytest.approx(1 / 8, abs=0.01)


def test_p_flips_the_languages_of_a_problem_together() -> None:
    # Six problems decide: p is 2 / 2**6. Twelve independent cells would give 2 / 2**12.
    ones, zeros = table(a=[1] * 6, b=[1] * 6), table(a=[0] * 6, b=[0] * 6)
    assert paired_difference(ones, zeros, permutations=20_000)["avg"].p == pytest.approx(2 / 64, abs=0.005)


def test_p_is_uniform_without_an_effect() -> None:
    rng, p = np.random.default_rng(9), []
    for _ in range(400):
        hard = rng.random((60, 1))
        after, before = (pd.DataFrame((hard + rng.random((60, 3))) / 2, columns=list("abc")) for _ in range(2))
        p.append(paired_difference(after, before, permutations=199)["avg"].p)
    shares = [np.mean(np.array(p) <= cut) for cut in (0.1, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(shares, [0.1, 0.25, 0.5, 0.75], atol=0.08)


def test_holm_textbook_example() -> None:
    got = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(got) == ["a", "b", "c", "d"]
    assert got == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1, "b": 1}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_capped_and_never_below_p(p: dict[str, float]) -> None:
    got = holm(p)
    order = sorted(p, key=lambda key: p[key])
    assert all(p[key] <= got[key] <= min(1, len(p) * p[key]) for key in p)
    assert all(got[a] <= got[b] for a, b in itertools.pairwise(order))


def test_seeds_weigh_the_same_whatever_their_size() -> None:
    both = combine_seeds([table(a=[1, 1, 1, 1, 1, 0]), table(a=[0, 1])])
    assert list(both.index[[0, 6]]) == [(0, "p0"), (1, "p0")]
    got = mean_interval(both)["a"]
    assert (got.value, got.n) == pytest.approx(((5 / 6 + 1 / 2) / 2, 8))


def test_problems_vary_within_their_seed_only() -> None:
    # Constant within a seed: only problems that moved between seeds could make the mean vary.
    frame = combine_seeds([table(a=[0.25] * 50), table(a=[0.75] * 50)])
    apart, loose = bounds(frame)["a"], bounds(frame.set_axis(range(100)))["a"]
    assert apart == pytest.approx(score_bounds(0.5, (100 / quantile(100)) ** 2, quantile(100)), abs=1e-9)
    assert loose[1] - loose[0] > 2 * (apart[1] - apart[0])


def test_three_seeds_narrow_the_bounds_as_independent_problems_do() -> None:
    rng = np.random.default_rng(10)
    frames = [binary(rng, 100, [0.5]) for _ in range(3)]
    one, three = mean_interval(frames[0])["l0"], mean_interval(combine_seeds(frames))["l0"]
    assert (one.high - one.low) / (three.high - three.low) == pytest.approx(math.sqrt(3), rel=0.1)


def test_difference_over_seeds_by_hand() -> None:
    after = combine_seeds([table(a=[1, 1, 1, 0]), table(a=[1, 0])])
    before = combine_seeds([table(a=[0, 0, 1, 0]), table(a=[0, 1])])
    got = paired_difference(after, before.iloc[::-1], permutations=20_000)["a"]
    # The differences 1, 1 weigh 1/8 each and 1, -1 weigh 1/4 each. A flip falls short of 1/4 only where both pairs
    # cancel, a quarter of the time; with equal weights it would be 6 flips of 16.
    assert (got.value, got.n) == (0.25, 6)
    assert got.p == pytest.approx(0.75, abs=0.02)


def test_seed_spread() -> None:
    assert seed_spread([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    mean, deviation = seed_spread([0.4])
    assert mean == 0.4
    assert math.isnan(deviation)


OK = table(a=[1, 0], b=[1, 0])
REFUSALS: list[tuple[Callable[[], object], str]] = [
    (lambda: mean_interval(pd.DataFrame()), "empty"),
    (lambda: mean_interval(OK.iloc[:0]), "empty"),
    (lambda: mean_interval(table(a=[1, 0], b=[NAN, NAN])), r"no scores.*\['b'\]"),
    (lambda: mean_interval(OK.set_axis(["p0", "p0"])), r"repeated problems: \['p0'\]"),
    (lambda: mean_interval(OK.set_axis(["a", "a"], axis=1)), r"repeated languages: \['a'\]"),
    (lambda: mean_interval(OK.rename(columns={"a": "avg"})), "'avg' is reserved"),
    (lambda: mean_interval(OK * 100), r"\[0, 1\]"),
    (lambda: mean_interval(-OK), r"\[0, 1\]"),
    (lambda: mean_interval(OK, level=95), r"level must lie in \(0, 1\), not 95"),
    (lambda: mean_interval(OK, level=0), "level"),
    (lambda: paired_difference(OK, OK, permutations=0), "permutations must be at least 1, not 0"),
    (lambda: paired_difference(OK, OK, level=1), "level"),
    (lambda: mean_interval(pd.concat([OK], keys=["x"], names=["fold", "problem"])), "index levels.*fold"),
    (lambda: paired_difference(OK, OK.rename({"p1": "p9"})), "2 problems are in one table only: p1, p9"),
    (lambda: paired_difference(OK, OK[["a"]]), "1 languages are in one table only: b"),
    (lambda: paired_difference(OK, table(a=[1, 0], b=[1, NAN])), r"missing cells differ.*\['b'\]"),
    (lambda: paired_difference(table(a=[1, NAN], b=[1, 0]), OK), r"missing cells differ.*\['a'\]"),
    (lambda: paired_difference(OK, OK * 2), r"\[0, 1\]"),
    (lambda: holm({}), "needs p-values"),
    (lambda: holm({"a": 1.2}), "1.2"),
    (lambda: holm({"a": NAN}), "nan"),
    (lambda: combine_seeds([]), "no seeds"),
    (lambda: combine_seeds([OK, OK.iloc[:0]]), "empty"),
    (lambda: combine_seeds([OK, OK[["a"]]]), "one table only: b"),
    (lambda: combine_seeds([OK, table(a=[1], b=[NAN])]), r"no scores.*\['b'\]"),
    (lambda: combine_seeds([combine_seeds([OK])]), "already combined"),
    (lambda: seed_spread([]), "no values"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_refusals_are_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


cells = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1), st.just(NAN))
shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8)
arrays = shapes.flatmap(lambda shape: hnp.arrays(float, shape, elements=cells))


@settings(max_examples=150, deadline=None)
@given(arrays, st.integers(1, 40), st.integers(0, 3))
def test_invariants(values: np.ndarray, permutations: int, seed: int) -> None:
    values[0] = np.nan_to_num(values[0])
    after = pd.DataFrame(values, columns=[f"l{i}" for i in range(values.shape[1])])
    scores = mean_interval(after)
    for key, got in scores.items():
        assert 0 <= got.low <= got.value <= got.high <= 1
        assert got.n == (after.notna().any(axis=1).sum() if key == "avg" else after[key].notna().sum())
    before = pd.DataFrame(np.nan_to_num(values[::-1]), columns=after.columns).where(after.notna())
    for key, change in paired_difference(after, before, seed=seed, permutations=permutations).items():
        assert -1 <= change.low <= change.value <= change.high <= 1
        assert 1 / (1 + permutations) <= change.p <= 1
        assert change.n == scores[key].n


SIMULATIONS = 300


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The benchmark that draws 1,000 simulations of more settings."""
    spec = importlib.util.spec_from_file_location("coverage_benchmark", ROOT / "benchmarks" / "interval_coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # where dataclasses look up its types
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["accuracy", "win rate, 3 seeds", "rare failures *"])
def test_bounds_cover_the_truth(coverage: ModuleType, name: str) -> None:
    """Slow. Misses are binomial: their 99.99 % range for a rate of 5 %; without the lower end where counts are few."""
    setting = next(setting for setting in coverage.SETTINGS if setting.name == name)
    few, many = binom.ppf([0.00005, 0.99995], SIMULATIONS, 0.05)
    for estimand, (_, counts) in coverage.measure(setting, SIMULATIONS).items():
        missed = counts["above"] + counts["below"]
        assert (0 if setting.edge else few) <= missed <= many, (estimand, missed)
