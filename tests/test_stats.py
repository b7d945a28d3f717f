"""Statistics on score tables: hand-computed values, independent recomputation, calibration, refusals."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ldr_utils.stats import combine_seeds, holm, mean_interval, paired_difference, seed_spread

NAN = float("nan")
Z = 1.959963984540054


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(**columns: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame.set_axis([f"p{row}" for row in range(len(frame))])


def binary(rng: np.random.Generator, problems: int, rates: list[float]) -> pd.DataFrame:
    draws = (rng.random((problems, len(rates))) < rates).astype(float)
    return pd.DataFrame(draws, columns=[f"l{i}" for i in range(len(rates))])


def test_means_and_sizes_by_hand() -> None:
    got = mean_interval(table(de=[1, 0, 1, 1], sw=[0, NAN, 1, NAN]))
    assert {key: (x.value, x.n) for key, x in got.items()} == {"de": (0.75, 4), "sw": (0.5, 2), "avg": (0.625, 4)}


def test_average_weighs_languages_not_cells() -> None:
    assert mean_interval(table(de=[1, 1, 1, 1], sw=[0, NAN, NAN, NAN]))["avg"].value == 0.5


def test_bounds_match_the_enumerated_bootstrap_distribution() -> None:
    scores = table(de=[0, 0, 1, 1, 1], sw=[0.2, 0.9, 0.4, 0.1, 1])
    means = np.array([scores.to_numpy()[list(rows)].mean(0) for rows in itertools.product(range(5), repeat=5)])
    expected = np.quantile(np.column_stack([means, means.mean(1)]), [0.1, 0.9], axis=0)
    got = mean_interval(scores, level=0.8, resamples=50_000)
    np.testing.assert_allclose([[x.low, x.high] for x in got.values()], expected.T, atol=0.011)


def test_bounds_match_the_normal_approximation() -> None:
    scores = binary(np.random.default_rng(1), 400, [0.4])
    got, value = mean_interval(scores, resamples=20_000)["l0"], scores["l0"].mean()
    margin = Z * math.sqrt(value * (1 - value) / 400)
    assert (got.low, got.high) == pytest.approx((value - margin, value + margin), abs=0.004)


def test_languages_share_the_resampled_problems() -> None:
    score = list(binary(np.random.default_rng(2), 120, [0.5])["l0"])
    same = mean_interval(table(a=score, b=score, c=score, d=score))
    assert (same["avg"].low, same["avg"].high) == (same["a"].low, same["a"].high)
    # Drawing the 480 cells one by one would claim half that width.
    cells = mean_interval(table(cells=score * 4))["cells"]
    assert same["avg"].high - same["avg"].low > 1.7 * (cells.high - cells.low)


def test_opposite_languages_cancel_in_the_average() -> None:
    score = np.tile([0.0, 1.0], 40)
    got = mean_interval(table(a=list(score), b=list(1 - score)))
    assert (got["avg"].low, got["avg"].high) == (0.5, 0.5)
    assert got["a"].high - got["a"].low > 0.15


def test_bounds_of_a_column_do_not_depend_on_the_others() -> None:
    scores = binary(np.random.default_rng(3), 60, [0.3, 0.6])
    assert mean_interval(scores)["l1"] == mean_interval(scores[["l1"]])["l1"]


def test_seed_decides_the_draws() -> None:
    scores = pd.DataFrame({"a": np.random.default_rng(4).random(50)})
    assert mean_interval(scores, seed=1) == mean_interval(scores, seed=1) != mean_interval(scores, seed=2)


@pytest.mark.parametrize("seeds", [1, 6])
def test_all_wrong_and_all_right_get_the_wilson_bound(seeds: int) -> None:
    frame = combine_seeds([table(zero=[0] * 10, one=[1] * 10)] * seeds)
    got, width = mean_interval(frame), Z**2 / (10 * seeds + Z**2)
    assert (got["zero"].low, got["zero"].high) == pytest.approx((0, width))
    assert (got["one"].low, got["one"].high) == pytest.approx((1 - width, 1))
    assert (got["avg"].low, got["avg"].high) == (0.5, 0.5)
    narrower = 1.644854**2 / (10 * seeds + 1.644854**2)
    assert mean_interval(frame[["zero"]], level=0.9)["avg"].high == pytest.approx(narrower)


def test_wilson_bound_counts_only_problems_with_a_value_and_discounts_uneven_seeds() -> None:
    assert mean_interval(table(a=[0, 0, NAN], b=[0, 0, 1]))["a"].high == pytest.approx(Z**2 / (2 + Z**2))
    uneven = combine_seeds([table(a=[0] * 2), table(a=[0] * 8)])
    effective = 1 / (2 * 0.25**2 + 8 * 0.0625**2)
    assert mean_interval(uneven)["a"].high == pytest.approx(Z**2 / (effective + Z**2))


@pytest.mark.parametrize("scores", [[0.5], [0.3, 0.3, 0.3], [0.5, NAN, NAN, NAN]])
def test_degenerate_columns_have_finite_bounds(scores: list[float]) -> None:
    got = mean_interval(table(a=scores))["a"]
    assert (got.value, got.low, got.high) == pytest.approx((scores[0],) * 3)


def test_difference_by_hand() -> None:
    after, before = table(de=[1, 1, 0, 1], sw=[1, 0, NAN, 0]), table(de=[0, 1, 0, 0], sw=[0, 0, NAN, 1])
    got = paired_difference(after, before)
    assert {key: (x.value, x.n) for key, x in got.items()} == {"de": (0.5, 4), "sw": (0, 3), "avg": (0.25, 4)}


def test_difference_equals_an_independent_recomputation() -> None:
    rng = np.random.default_rng(5)
    before, after = binary(rng, 9, [0.4, 0.5, 0.3]), binary(rng, 9, [0.7, 0.6, 0.9])
    delta = (after - before).to_numpy()
    delta = np.column_stack([delta, delta.mean(1)])
    flipped = np.array([np.array(s) @ delta for s in itertools.product([-1, 1], repeat=9)])
    exact = (np.abs(flipped) >= np.abs(delta.sum(0)) - 1e-9).mean(0)
    means = np.array([delta[rng.integers(0, 9, 9)].mean(0) for _ in range(20_000)])
    got = list(paired_difference(after, before, resamples=20_000).values())
    np.testing.assert_allclose([x.value for x in got], delta.mean(0))
    np.testing.assert_allclose([x.p for x in got], exact, atol=0.015)
    bounds = np.quantile(means, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose([[x.low, x.high] for x in got], bounds, atol=1 / 26)


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
    clear = paired_difference(table(a=[1] * 60), table(a=[0] * 60), resamples=999)["a"]
    none = paired_difference(table(a=[1, 0, 0.4]), table(a=[1, 0, 0.4]))["a"]
    single = paired_difference(table(a=[1]), table(a=[0]))["a"]
    assert (clear.p, none.p, single.p) == (1 / 1000, 1, 1)
    assert (none.low, none.high, single.low, single.high) == (0, 0, 1, 1)


def test_p_counts_ties_that_round_differently() -> None:
    # Four differences of 0.1: 2 of 16 sign patterns tie with the data, so p is 1/8 however the sums are rounded.
    got = paired_difference(table(a=[0.1, 0.3, 0.8, 0.7]), table(a=[0, 0.2, 0.7, 0.6]), resamples=20_000)["a"]
    assert got.p == pytest.approx(1 / 8, abs=0.01)


def test_p_flips_the_languages_of_a_problem_together() -> None:
    # Six problems decide: p is 2 / 2**6. Twelve independent cells would give 2 / 2**12.
    ones, zeros = table(a=[1] * 6, b=[1] * 6), table(a=[0] * 6, b=[0] * 6)
    assert paired_difference(ones, zeros, resamples=20_000)["avg"].p == pytest.approx(2 / 64, abs=0.005)


def test_p_is_uniform_without_an_effect() -> None:
    rng, p = np.random.default_rng(9), []
    for _ in range(400):
        hard = rng.random((60, 1))
        after, before = (pd.DataFrame((hard + rng.random((60, 3))) / 2, columns=list("abc")) for _ in range(2))
        p.append(paired_difference(after, before, resamples=199)["avg"].p)
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


def test_seeds_are_resampled_apart() -> None:
    # Constant within a seed: only moving problems between seeds could make the mean vary.
    frame = combine_seeds([table(a=[0.25] * 10), table(a=[0.75] * 10)])
    got = mean_interval(frame)["a"]
    assert (got.low, got.high) == (0.5, 0.5)
    loose = mean_interval(frame.set_axis(range(20)))["a"]
    assert loose.high - loose.low > 0.1


def test_three_seeds_narrow_the_bounds_as_independent_problems_do() -> None:
    rng = np.random.default_rng(10)
    frames = [binary(rng, 100, [0.5]) for _ in range(3)]
    one, three = mean_interval(frames[0])["l0"], mean_interval(combine_seeds(frames))["l0"]
    assert (one.high - one.low) / (three.high - three.low) == pytest.approx(math.sqrt(3), rel=0.1)


def test_difference_over_seeds_by_hand() -> None:
    after = combine_seeds([table(a=[1, 1, 1, 0]), table(a=[1, 0])])
    before = combine_seeds([table(a=[0, 0, 1, 0]), table(a=[0, 1])])
    got = paired_difference(after, before.iloc[::-1], resamples=20_000)["a"]
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
    (lambda: mean_interval(OK, resamples=0), "resamples must be at least 1"),
    (lambda: mean_interval(OK, level=95), "range"),
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
def test_invariants(values: np.ndarray, resamples: int, seed: int) -> None:
    values[0] = np.nan_to_num(values[0])
    after = pd.DataFrame(values, columns=[f"l{i}" for i in range(values.shape[1])])
    scores = mean_interval(after, seed=seed, resamples=resamples)
    for key, got in scores.items():
        assert 0 <= got.low <= got.value <= got.high <= 1
        assert got.n == (after.notna().any(axis=1).sum() if key == "avg" else after[key].notna().sum())
    before = pd.DataFrame(np.nan_to_num(values[::-1]), columns=after.columns).where(after.notna())
    for key, change in paired_difference(after, before, seed=seed, resamples=resamples).items():
        assert -1 <= change.low <= change.value <= change.high <= 1
        assert 1 / (1 + resamples) <= change.p <= 1
        assert change.n == scores[key].n
