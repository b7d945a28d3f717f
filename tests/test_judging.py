"""Verdicts in both orders with hand-made judges, and the length control against an independent fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.judges.verdicts import Answer, Case, Score, Status, Verdict, against, agrees, outcome
from ldr_utils.scores.x_alpacaeval import (
    NULL_ANSWER,
    against_null,
    duel_table,
    length_controlled,
    length_controlled_rows,
    result_rows,
    verdict_table,
)
from ldr_utils.study.params import AlpacaParams
from ldr_utils.study.records import Asked


class BiasedJudge:
    """Prefers the better text ("good" beats "bad") with strength 0.5 and the one shown first with strength ``bias``."""

    name = "biased"
    protocol = "both_orders"

    def __init__(self, bias: float) -> None:
        self.bias = bias

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        return [Score(10.0 if answer.text.startswith("good") else 0.0) for answer in answers]

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict(self._preference(case)) for case in cases]

    def _preference(self, case: Case) -> float:
        quality = (case.first.startswith("good") - case.second.startswith("good")) / 2
        return min(1.0, max(0.0, 0.5 + quality + self.bias))


class MuteJudge(BiasedJudge):
    """Has no verdict where the answer shown first is one of ``statuses``, and says why."""

    def __init__(self, statuses: dict[str, Status]) -> None:
        super().__init__(0.0)
        self.statuses = statuses

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        found = super().prefer(cases)
        return [
            Verdict(None, self.statuses[case.first]) if case.first in self.statuses else verdict
            for case, verdict in zip(cases, found, strict=True)
        ]


def prompts(n: int) -> list[Asked]:
    return [{"id": str(k), "lang": "de", "prompt": f"{k}?"} for k in range(n)]


def test_compare_by_hand_without_bias() -> None:
    found = against(BiasedJudge(0.0), prompts(3), ["good", "bad", "good"], ["bad!!", "good", "good"])
    assert found.to_dict("list") == {
        "id": ["0", "1", "2"],
        "lang": ["de"] * 3,
        "ours_first": [1.0, 0.0, 0.5],
        "ours_second": [1.0, 0.0, 0.5],
        "preference": [1.0, 0.0, 0.5],
        "flip": [False, False, False],
        "status": ["ok", "ok", "ok"],
        "length_difference": [-1, -1, 0],
    }


@pytest.mark.parametrize("bias", [0.25, -0.25, 0.5, -0.5])
def test_position_bias_cancels_between_equals_and_shows_as_a_flip(bias: float) -> None:
    found = against(BiasedJudge(bias), prompts(1), ["good"], ["good"]).iloc[0]
    assert (found.ours_first, found.ours_second) == (0.5 + bias, 0.5 - bias)
    assert found.preference == 0.5
    assert found.flip


@pytest.mark.parametrize("bias", [0.25, -0.25])
def test_position_bias_does_not_turn_a_clear_winner(bias: float) -> None:
    found = against(BiasedJudge(bias), prompts(2), ["good", "bad"], ["bad", "good"])
    assert list(found.preference) == [0.875, 0.125]
    assert not found.flip.any()


def test_one_sided_tie_is_no_flip() -> None:
    found = against(BiasedJudge(0.5), prompts(1), ["good"], ["bad"]).iloc[0]
    assert (found.ours_first, found.ours_second, found.preference) == (1.0, 0.5, 0.75)
    assert not found.flip


def test_swapping_the_sides_mirrors_the_verdicts() -> None:
    ours, theirs = ["good", "bad", "good"], ["bad", "bad", "good!"]
    found = against(BiasedJudge(0.25), prompts(3), ours, theirs)
    mirrored = against(BiasedJudge(0.25), prompts(3), theirs, ours)
    np.testing.assert_allclose(mirrored.preference, 1 - found.preference)
    np.testing.assert_array_equal(mirrored.length_difference, -found.length_difference)


def test_missing_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        against(BiasedJudge(0.0), prompts(2), ["good", "bad"], ["good"])


def newton_intercept(preference: np.ndarray, difference: np.ndarray) -> float:
    """sigmoid(a) of the maximum-likelihood fit logit P = a + b tanh(d / sd d), soft labels, no penalty."""
    design = np.column_stack([np.ones(len(difference)), np.tanh(difference / np.std(difference))])
    weights = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        weights = weights + np.linalg.solve(hessian, design.T @ (preference - p))
    return float(1 / (1 + np.exp(-weights[0])))


def verdicts(preference: list[float] | np.ndarray, difference: Sequence[float] | np.ndarray) -> pd.DataFrame:
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


SEPARATED: dict[str, tuple[list[float], list[int]]] = {
    "completely": ([1.0, 1.0, 1.0, 0.0], [10, 20, 30, -5]),
    "the shorter one wins": ([0.0, 0.0, 0.0, 1.0], [10, 20, 30, -5]),
    "but for one length": ([1.0] * 9 + [0.0, 1.0, 0.0], [50] * 9 + [7, 7, -3]),
    "all but two halves": ([1.0] * 30 + [0.5, 0.5] + [0.0] * 8, [*range(30, 60), 12, 14, *range(-8, 0)]),
    "nearly sure verdicts": ([0.999] * 60 + [0.001] * 20, [*range(30, 90), *range(-20, 0)]),
    "two verdicts": ([1.0, 0.0], [5, -4]),
}


@pytest.mark.parametrize(("preference", "difference"), SEPARATED.values(), ids=SEPARATED)
def test_where_lengths_separate_wins_from_losses_there_is_no_figure(
    preference: list[float], difference: list[int]
) -> None:
    """The fit has no finite optimum, or one that a single verdict decides: any rate would be made up."""
    assert math.isnan(length_controlled(verdicts(preference, difference)))


PREFERENCES = st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1), min_size=1, max_size=30)


@given(preferences=PREFERENCES, seed=st.integers(0, 99), scale=st.sampled_from([1, 5, 1000]))
def test_any_verdicts_have_a_rate_or_none(preferences: list[float], seed: int, scale: int) -> None:
    """Whatever the lengths: a rate; and the plain one where every length has its opposite beside the same verdict."""
    rng, plain = np.random.default_rng(seed), float(np.mean(preferences))
    difference = np.round(rng.normal(0, scale, len(preferences)))
    found = length_controlled(verdicts(preferences, difference))
    assert math.isnan(found) or 0 <= found <= 1
    assert length_controlled(verdicts(preferences, np.zeros(len(preferences)))) == plain
    mirrored = length_controlled(verdicts(preferences * 2, [*difference, *-difference]))
    assert mirrored == pytest.approx(plain, abs=1e-9)


def test_a_language_without_a_figure_says_so_and_leaves_the_others_alone() -> None:
    """Nor do resamples that separate move the bounds: they are left out."""
    rng = np.random.default_rng(5)
    difference = np.round(rng.normal(20, 80, 60))
    wins = (rng.random(60) < 1 / (1 + np.exp(-difference / 80))).astype(float)
    ids = [str(k) for k in range(60)]
    good = verdicts(wins, difference).assign(id=ids, lang="de")
    bad = verdicts((difference > 0).astype(float), difference).assign(id=ids, lang="en")
    params = AlpacaParams(languages=["de", "en"], unseen=["es"])
    rows = pd.DataFrame(length_controlled_rows(pd.concat([good, bad]), params, 40)).set_index(["lang", "split"])
    alone = pd.DataFrame(length_controlled_rows(good, params, 40)).set_index(["lang", "split"])
    keys = ["value", "low", "high", "n"]
    assert rows.loc[("de", "train"), keys].equals(alone.loc[("de", "train"), keys])
    assert rows["low"].notna().tolist() == [lang == "de" for lang, _ in rows.index]
    for lang in ("en", "avg"):
        assert rows.loc[(lang, "train"), ["value", "low", "high"]].isna().all()
        assert rows.loc[(lang, "train"), "n"] == 60


def test_outcome_by_hand() -> None:
    found = outcome(pd.Series([1.0, 0.5, 0.25, 0.75]))
    assert found.to_dict("list") == {
        "h2h_win": [1.0, 0.0, 0.0, 1.0],
        "h2h_tie": [0.0, 1.0, 0.0, 0.0],
        "h2h_lose": [0.0, 0.0, 1.0, 0.0],
    }


def agreed(judge: BiasedJudge, chosen: str, rejected: str) -> float | None:
    found = agrees(judge, [Case(prompts(1)[0], chosen, rejected)])["agrees"][0]
    return None if math.isnan(found) else float(found)


@pytest.mark.parametrize("bias", [0.0, 0.25, -0.25, 0.5])
def test_agreement_sees_through_position_bias(bias: float) -> None:
    judge = BiasedJudge(bias)
    assert agreed(judge, "good", "bad") == 1.0
    assert agreed(judge, "bad", "good") == 0.0
    assert agreed(judge, "good", "good!") is None


@given(st.floats(-0.5, 0.5))
def test_any_position_bias_is_a_tie_between_equals(bias: float) -> None:
    """Soft preferences of an LLM judge are no round numbers; a rounding error must not decide."""
    judge = BiasedJudge(bias)
    assert agreed(judge, "good", "good") is None
    assert against(judge, prompts(1), ["good"], ["good"]).preference[0] == 0.5


@pytest.mark.parametrize(("ours", "theirs"), [("good", "odd"), ("odd", "good")])
def test_one_order_without_a_verdict_leaves_the_case_without_a_preference(ours: str, theirs: str) -> None:
    found = against(MuteJudge({"odd": "refused"}), prompts(1), [ours], [theirs]).iloc[0]
    assert math.isnan(found.preference)
    assert found.status == "refused"
    assert not found.flip


def judged_by_mute() -> pd.DataFrame:
    """Of five answers two win, one loses, one is refused and one cannot be parsed."""
    judge = MuteJudge({"odd": "refused", "strange": "unparsable"})
    return against(judge, prompts(5), ["good", "good", "bad", "odd", "strange"], ["bad", "bad", "good", "bad", "bad"])


def test_missing_verdicts_leave_the_rates_and_show_in_the_table() -> None:
    verdicts = judged_by_mute()
    table = verdict_table(verdicts, verdicts, ["de", "sw"]).loc["de"]
    assert table["win_rate"] == table["null_win_rate"] == pytest.approx(2 / 3)
    assert (table["refused"], table["unparsable"], table["failed"]) == (1, 1, 0)
    assert table["flip_rate"] == 0
    duel = duel_table({0: verdicts}, ["de"]).loc["M0"].loc["de"]
    assert (duel["h2h_win"], duel["h2h_tie"], duel["h2h_lose"]) == (pytest.approx(2 / 3), 0, pytest.approx(1 / 3))
    assert (duel["refused"], duel["unparsable"]) == (1, 1)


def test_missing_verdicts_are_neither_wins_nor_losses_in_the_results() -> None:
    verdicts = judged_by_mute()
    checks = verdicts[["id", "lang"]].assign(off_target=0.0, undecided=0.0, line_pass=1.0, word_pass=np.nan)
    params = AlpacaParams(languages=["de", "en"], unseen=[], t=1)
    rows = pd.DataFrame(result_rows(verdicts, verdicts, {0: verdicts}, checks, params)).query("lang == 'de'")
    rows = rows.set_index("metric")
    assert rows.loc["win_rate", "value"] == pytest.approx(2 / 3)
    assert rows.loc["h2h_lose", "value"] == pytest.approx(1 / 3)
    assert list(rows.loc[["win_rate", "lc_win_rate", "h2h_win", "off_target"], "n"]) == [3, 3, 3, 5]
    assert list(rows.loc[["refused", "unparsable", "failed"], "value"]) == [1, 1, 0]
    assert list(rows.loc[["refused", "unparsable", "failed"], "n"]) == [5, 5, 5]
    assert rows.loc["null_win_rate", "value"] == pytest.approx(2 / 3)


def test_flips_and_lengths_stand_beside_the_win_rate() -> None:
    verdicts = against(BiasedJudge(0.25), prompts(2), ["good", "good"], ["good!!!", "bad"])
    checks = verdicts[["id", "lang"]].assign(off_target=0.0, undecided=0.0, line_pass=1.0, word_pass=np.nan)
    found = pd.DataFrame(result_rows(verdicts, verdicts, {}, checks, AlpacaParams(languages=["de", "en"], unseen=[])))
    rows = found.query("lang == 'de'").set_index("metric")
    assert rows.loc["flip_rate", "value"] == 0.5
    assert rows.loc["length_difference", "value"] == (4 - 7 + 4 - 3) / 2
    averages = found[(found["metric"] == "length_difference") & (found["lang"] == "avg")].set_index("split")["value"]
    assert averages.to_dict() == {"train": -1, "all": -1}


def test_null_model_answers_every_prompt_with_the_same_words() -> None:
    records = {lang: [{"id": "1", "lang": lang, "reference": "good"}] for lang in ("de", "en")}
    answered: dict[str, list[Any]] = {lang: [r | {"response": "bad"} for r in own] for lang, own in records.items()}
    found = against_null(BiasedJudge(0.0), answered)
    assert list(found["lang"]) == ["de", "en"]
    assert list(found["preference"]) == [0.0, 0.0]
    assert list(found["length_difference"]) == [len(NULL_ANSWER) - 4] * 2
    assert answered["de"][0]["response"] == "bad"
