"""Verdicts in both orders with hand-made judges, and the length control against an independent fit."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.judging import agreement, compare, length_controlled, outcome
from ldr_utils.records import Record


class BiasedJudge:
    """Prefers the better text ("good" beats "bad") with strength 0.5 and the one shown first with strength ``bias``."""

    name = "biased"

    def __init__(self, bias: float) -> None:
        self.bias = bias

    def score(self, record: Record, answer: str) -> float:
        return 10.0 if answer.startswith("good") else 0.0

    def prefer(self, record: Record, first: str, second: str) -> float:
        quality = (self.score(record, first) - self.score(record, second)) / 20
        return min(1.0, max(0.0, 0.5 + quality + self.bias))


def prompts(n: int) -> list[Record]:
    return [{"id": str(k), "lang": "de"} for k in range(n)]


def test_compare_by_hand_without_bias() -> None:
    found = compare(BiasedJudge(0.0), prompts(3), ["good", "bad", "good"], ["bad!!", "good", "good"])
    assert found.to_dict("list") == {
        "id": ["0", "1", "2"],
        "lang": ["de"] * 3,
        "ours_first": [1.0, 0.0, 0.5],
        "ours_second": [1.0, 0.0, 0.5],
        "preference": [1.0, 0.0, 0.5],
        "flip": [False, False, False],
        "length_difference": [-1, -1, 0],
    }


@pytest.mark.parametrize("bias", [0.25, -0.25, 0.5, -0.5])
def test_position_bias_cancels_between_equals_and_shows_as_a_flip(bias: float) -> None:
    found = compare(BiasedJudge(bias), prompts(1), ["good"], ["good"]).iloc[0]
    assert (found.ours_first, found.ours_second) == (0.5 + bias, 0.5 - bias)
    assert found.preference == 0.5
    assert found.flip


@pytest.mark.parametrize("bias", [0.25, -0.25])
def test_position_bias_does_not_turn_a_clear_winner(bias: float) -> None:
    found = compare(BiasedJudge(bias), prompts(2), ["good", "bad"], ["bad", "good"])
    assert list(found.preference) == [0.875, 0.125]
    assert not found.flip.any()


def test_one_sided_tie_is_no_flip() -> None:
    found = compare(BiasedJudge(0.5), prompts(1), ["good"], ["bad"]).iloc[0]
    assert (found.ours_first, found.ours_second, found.preference) == (1.0, 0.5, 0.75)
    assert not found.flip


def test_swapping_the_sides_mirrors_the_verdicts() -> None:
    ours, theirs = ["good", "bad", "good"], ["bad", "bad", "good!"]
    found = compare(BiasedJudge(0.25), prompts(3), ours, theirs)
    mirrored = compare(BiasedJudge(0.25), prompts(3), theirs, ours)
    np.testing.assert_allclose(mirrored.preference, 1 - found.preference)
    np.testing.assert_array_equal(mirrored.length_difference, -found.length_difference)


def test_missing_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare(BiasedJudge(0.0), prompts(2), ["good", "bad"], ["good"])


def newton_intercept(preference: np.ndarray, difference: np.ndarray) -> float:
    """sigmoid(a) of the maximum-likelihood fit logit P = a + b tanh(d / sd d), soft labels, no penalty."""
    design = np.column_stack([np.ones(len(difference)), np.tanh(difference / np.std(difference))])
    weights = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        weights = weights + np.linalg.solve(hessian, design.T @ (preference - p))
    return float(1 / (1 + np.exp(-weights[0])))


def verdicts(preference: list[float] | np.ndarray, difference: list[float] | np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"preference": preference, "length_difference": difference})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("soft", [False, True])
def test_length_control_matches_an_independent_fit(seed: int, soft: bool) -> None:
    rng = np.random.default_rng(seed)
    difference = np.round(rng.normal(40, 80, 300))
    chance = 1 / (1 + np.exp(-(-0.4 + 1.5 * np.tanh(difference / 80))))
    preference = np.round(chance, 1) if soft else rng.choice([0.0, 0.5, 1.0], size=300, p=[0.3, 0.2, 0.5])
    if not soft:
        preference = np.where(rng.random(300) < 0.6, (rng.random(300) < chance).astype(float), preference)
    expected = newton_intercept(preference, difference)
    assert length_controlled(verdicts(preference, difference)) == pytest.approx(expected, abs=1e-4)


def test_winning_by_length_alone_is_taken_away() -> None:
    """Wins exactly where it is longer and it is mostly longer: 70 % raw, one half at equal length."""
    difference = np.array([100.0] * 75 + [-100.0] * 25)
    preference = np.where(difference > 0, 0.9, 0.1)
    assert preference.mean() == pytest.approx(0.7)
    assert length_controlled(verdicts(preference, difference)) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("preference", "difference", "expected"),
    [
        ([1.0, 0.0, 1.0, 1.0], [7, 7, 7, 7], 0.75),
        ([1.0, 1.0, 1.0], [5, -5, 20], 1.0),
        ([0.0, 0.0], [5, -5], 0.0),
        ([0.5, 0.5], [5, -5], 0.5),
        ([1.0], [3], 1.0),
    ],
)
def test_nothing_to_control_for_gives_the_plain_win_rate(
    preference: list[float], difference: list[float], expected: float
) -> None:
    assert length_controlled(verdicts(preference, difference)) == expected


def test_separable_verdicts_stay_finite() -> None:
    found = length_controlled(verdicts([1.0, 1.0, 0.0, 0.0], [10, 20, -10, -20]))
    assert math.isfinite(found)
    assert found == pytest.approx(0.5, abs=1e-3)


def test_outcome_by_hand() -> None:
    found = outcome(pd.Series([1.0, 0.5, 0.25, 0.75]))
    assert found.to_dict("list") == {
        "h2h_win": [1.0, 0.0, 0.0, 1.0],
        "h2h_tie": [0.0, 1.0, 0.0, 0.0],
        "h2h_lose": [0.0, 0.0, 1.0, 0.0],
    }


@pytest.mark.parametrize("bias", [0.0, 0.25, -0.25, 0.5])
def test_agreement_sees_through_position_bias(bias: float) -> None:
    judge, prompt = BiasedJudge(bias), prompts(1)[0]
    assert agreement(judge, prompt, "good", "bad") == 1.0
    assert agreement(judge, prompt, "bad", "good") == 0.0
    assert agreement(judge, prompt, "good", "good!") is None


@given(st.floats(-0.5, 0.5))
def test_any_position_bias_is_a_tie_between_equals(bias: float) -> None:
    """Soft preferences of an LLM judge are no round numbers; a rounding error must not decide."""
    judge = BiasedJudge(bias)
    assert agreement(judge, prompts(1)[0], "good", "good") is None
    assert compare(judge, prompts(1), ["good"], ["good"]).preference[0] == 0.5
