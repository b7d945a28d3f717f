"""From responses to rows of results.csv, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize  # type: ignore[import-untyped]

from ldr_utils.judges.verdicts import Answer, Case, Score, Verdict, against, outcome
from ldr_utils.scores import premise
from ldr_utils.scores.mgsm import MGSM_METRICS, score_mgsm
from ldr_utils.scores.premise import premise_table, reward_table
from ldr_utils.scores.rows import COLUMNS, Rows, plain, wide
from ldr_utils.scores.stats import Interval
from ldr_utils.scores.x_alpacaeval import length_controlled, length_controlled_draws, length_controlled_rows
from ldr_utils.study.arms import MAIN
from ldr_utils.study.params import ArmParams

LANGUAGES = ["en", "es", "de"]


class LengthJudge:
    """The longer text is the better one."""

    name = "length"
    protocol = "both_orders"

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        return [Score(min(10.0, float(len(answer.text)))) for answer in answers]

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict((1 + np.sign(len(case.first) - len(case.second))) / 2) for case in cases]


class SilentJudge(LengthJudge):
    """Will not judge anything that holds a question mark."""

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        found = super().score(answers)
        return [Score(None, "refused") if "?" in a.text else s for a, s in zip(answers, found, strict=True)]

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        found = super().prefer(cases)
        return [Verdict(None, "refused") if "?" in c.first else v for c, v in zip(cases, found, strict=True)]


def common(languages: list[str] = LANGUAGES, unseen: list[str] | None = None) -> ArmParams:
    return ArmParams(study="tiny", seed=4, languages=languages, unseen=unseen or [], t=1)


def added(metric: str, table: pd.DataFrame, params: ArmParams, task: str = "mgsm") -> list[dict[str, Any]]:
    found = Rows(params, task)
    found.add(metric, table)
    return found.rows


def test_score_mgsm_by_hand() -> None:
    spanish = "Al principio Ana tiene 12 libros. Después quedan 5. La respuesta es 7."
    german = "Am Anfang hat Anna 12 Bücher. Danach bleiben 5 übrig. Die Antwort ist 7."
    answers = [  # accuracy, accuracy_phrase, off_target, no_answer
        ("1", "es", "7", spanish, (1.0, 1.0, 0.0, 0.0)),
        ("2", "es", "8", spanish, (0.0, 0.0, 0.0, 0.0)),
        ("3", "es", "7", german, (1.0, 0.0, 1.0, 0.0)),  # a German phrase is none in Spanish
        ("4", "es", "-7", spanish.replace("es 7", "es -7"), (1.0, 1.0, 0.0, 0.0)),
        ("1", "de", "7", "Das weiß ich leider wirklich nicht.", (0.0, 0.0, 0.0, 1.0)),
        ("2", "de", "7", "", (0.0, 0.0, 0.0, 1.0)),
        ("3", "de", "7", "7", (1.0, 0.0, 0.0, 0.0)),
        ("4", "de", "7", f"{german} Das sind 9 Tage.", (1.0, 1.0, 0.0, 0.0)),
    ]
    responses: list[Any] = [
        {"id": i, "lang": lang, "gold": gold, "response": text} for i, lang, gold, text, _ in answers
    ]
    found = score_mgsm(responses)
    assert list(zip(found["id"], found["lang"], strict=True)) == [(i, lang) for i, lang, *_ in answers]
    got = list(found[list(MGSM_METRICS)].itertuples(index=False, name=None))
    assert got == [expected for *_, expected in answers]


def test_level_is_passed_on_where_there_is_one() -> None:
    record: Any = {"id": "1", "lang": "en", "gold": "7", "response": "7"}
    assert score_mgsm([record | {"level": 3}])["level"][0] == 3
    assert score_mgsm([record])["level"][0] is None


def scores(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"id": str(k), "lang": lang, "accuracy": value}
            for lang, values in columns.items()
            for k, value in enumerate(values)
        ]
    )


def test_wide_has_problems_by_languages() -> None:
    table = wide(scores(es=[1.0, 0.0], en=[1.0, 1.0]).iloc[::-1], "accuracy")
    assert table.loc["0", "es"] == 1.0
    assert table.loc["1", "es"] == 0.0
    assert set(table.columns) == {"en", "es"}


def test_rows_of_languages_and_of_averages() -> None:
    params = common(["en", "es"], ["it", "sw"])
    table = scores(en=[1, 1, 1, 1], es=[1, 0, 1, 1], it=[0, 0, 1, 1], sw=[0, 0, 0, 1])
    found = added("accuracy", table, params)
    assert all(list(row) == COLUMNS for row in found)
    assert {(r["lang"], r["split"]): r["value"] for r in found} == {
        ("en", "train"): 1.0,
        ("es", "train"): 0.75,
        ("it", "unseen"): 0.5,
        ("sw", "unseen"): 0.25,
        ("avg", "train"): 0.875,
        ("avg", "unseen"): 0.375,
        ("avg", "all"): 0.625,
    }
    assert len(found) == 7
    for row in found:
        same = {"study": "tiny", "arm": MAIN, "seed": 4, "model": "M1", "task": "mgsm", "metric": "accuracy", "n": 4}
        assert same.items() <= row.items()
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_without_unseen_languages_there_is_no_unseen_row() -> None:
    found = added("accuracy", scores(en=[1, 0], es=[1, 1]), common(["en", "es"]))
    assert [(r["lang"], r["split"]) for r in found] == [
        ("en", "train"), ("es", "train"), ("avg", "train"), ("avg", "all"),
    ]  # fmt: skip


def test_only_the_languages_that_were_scored_have_rows() -> None:
    """Reward tables have the training languages only, though the study has unseen ones."""
    found = added("accuracy", scores(en=[1, 0], es=[1, 1]), common(["en", "es"], ["sw"]), "reward")
    assert {(r["lang"], r["split"]) for r in found} == {
        ("en", "train"), ("es", "train"), ("avg", "train"), ("avg", "all"),
    }  # fmt: skip


def test_a_figure_that_is_no_plain_mean_has_rows_in_the_same_order() -> None:
    """Also averages alone, values alone, points of a scale, and two models that were compared."""
    params = common(["en", "es"], ["sw"]).model_copy(update={"arm": "sft"})

    def counted(languages: list[str]) -> Interval:
        return Interval(float(len(languages)), 0.0, 9.0, 1)

    found = Rows(params, "t", "M1-vs-M0")
    found.add_with("size", counted, ["sw", "es"])
    found.add_averages("again", counted, ["en"])
    found.add_values("plain", {"sw": plain(3, 4)})
    found.add("score", scores(en=[1, 0]), "accuracy", points=10)
    assert [(r["metric"], r["lang"], r["split"], r["value"]) for r in found.rows] == [
        ("size", "sw", "unseen", 1.0),
        ("size", "es", "train", 1.0),
        ("size", "avg", "train", 1.0),
        ("size", "avg", "unseen", 1.0),
        ("size", "avg", "all", 2.0),
        ("again", "avg", "train", 1.0),
        ("again", "avg", "all", 1.0),
        ("plain", "sw", "unseen", 3.0),
        ("score", "en", "train", 5.0),
        ("score", "avg", "train", 5.0),
        ("score", "avg", "all", 5.0),
    ]
    assert {(r["arm"], r["model"], r["task"]) for r in found.rows} == {("sft", "M1-vs-M0", "t")}
    assert 0 <= found.rows[-1]["low"] < 5 < found.rows[-1]["high"] <= 10


def test_length_controlled_rows() -> None:
    params = common(["en", "es"], ["sw"])
    spanish = {"preference": [1.0, 0.0, 0.5, 1.0], "length_difference": [10, -4, 3, -20]}
    parts = [
        pd.DataFrame({"id": list("abcd"), "lang": "en", "preference": [1.0, 1.0, 0.0, 0.0], "length_difference": 0}),
        pd.DataFrame({"id": list("abcd"), "lang": "es"} | spanish),
        pd.DataFrame({"id": list("abcd"), "lang": "sw", "preference": 0.0, "length_difference": [1, 2, 3, 4]}),
    ]
    found = length_controlled_rows(pd.concat(parts), params, resamples=20)
    values = {(r["lang"], r["split"]): r["value"] for r in found}
    es = length_controlled(pd.DataFrame(spanish))
    assert values == pytest.approx(
        {
            ("en", "train"): 0.5,
            ("es", "train"): es,
            ("sw", "unseen"): 0.0,
            ("avg", "train"): (0.5 + es) / 2,
            ("avg", "unseen"): 0.0,
            ("avg", "all"): (0.5 + es) / 3,
        }
    )
    assert all(list(row) == COLUMNS and row["n"] == 4 for row in found)
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in found)


class ScriptedJudge(LengthJudge):
    """The preference for the answer shown first, by prompt and order."""

    def __init__(self, script: dict[tuple[str, str, bool], float]) -> None:
        self.script = script

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict(self.script[c.record["id"], c.record["lang"], c.first.startswith("o")]) for c in cases]


def log_likelihood_fit(preference: np.ndarray, difference: np.ndarray) -> float:
    """sigmoid(a) of the soft-label likelihood of a + b tanh(d / sd(d)), maximised by a general optimiser."""
    if np.ptp(difference) == 0 or np.ptp(preference) == 0:
        return float(preference.mean())
    length = np.tanh(difference / np.sqrt(np.mean((difference - difference.mean()) ** 2)))

    def loss(weights: np.ndarray) -> float:
        logit = weights[0] + weights[1] * length
        return float(np.sum(preference * np.logaddexp(0, -logit) + (1 - preference) * np.logaddexp(0, logit)))

    fit = optimize.minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
    return float(1 / (1 + np.exp(-fit.x[0])))


VERDICTS: dict[str, tuple[list[float], bool]] = {
    "log-probabilities": ([0.02, 0.3, 0.45, 0.5, 0.71, 0.98], False),
    "plain verdicts": ([0.0, 1.0], False),
    "ties": ([0.0, 0.5, 0.5, 0.5, 1.0], False),
    "all won": ([1.0], False),
    "all lost": ([0.0], False),
    "all tied": ([0.5], False),
    "equal lengths": ([0.0, 0.5, 1.0], True),
}


@pytest.mark.parametrize(("choices", "equal"), VERDICTS.values(), ids=VERDICTS)
def test_win_rates_equal_the_formulas_recomputed(choices: list[float], equal: bool) -> None:
    rng, n = np.random.default_rng(12), 120
    params = common(["en", "es"])
    prompts: list[Any] = [{"id": str(k), "lang": lang} for lang in params.languages for k in range(n)]
    first, second = rng.choice(choices, (2, len(prompts)))  # preference for ours, by the order it is shown in
    script = {(p["id"], p["lang"], True): float(x) for p, x in zip(prompts, first, strict=True)}
    script |= {(p["id"], p["lang"], False): 1 - float(x) for p, x in zip(prompts, second, strict=True)}
    longer = 1 if equal else rng.integers(1, 400, len(prompts)) + (200 * first).astype(int)
    ours = ["o" * int(k) for k in np.broadcast_to(longer, len(prompts))]
    table = against(ScriptedJudge(script), prompts, ours, ["t" * (1 if equal else 150)] * len(prompts))
    outcomes = pd.concat([table.rename(columns={"preference": "win_rate"}), outcome(table["preference"])], axis=1)
    metrics = ["win_rate", "h2h_win", "h2h_tie", "h2h_lose"]
    rows = [row for m in metrics for row in added(m, outcomes, params)]
    found = pd.DataFrame(rows + length_controlled_rows(table, params, resamples=20))
    got = found[found["split"] == "train"].set_index(["metric", "lang"])["value"]

    preference, difference = (first + second) / 2, np.array([len(text) for text in ours]) - (1 if equal else 150)
    for number, lang in enumerate(params.languages):
        own = slice(number * n, (number + 1) * n)
        assert got["win_rate", lang] == pytest.approx(preference[own].sum() / n, abs=1e-12)
        assert got["lc_win_rate", lang] == pytest.approx(log_likelihood_fit(preference[own], difference[own]), abs=1e-4)
        for metric, sign in (("h2h_win", 1), ("h2h_tie", 0), ("h2h_lose", -1)):
            assert got[metric, lang] == pytest.approx((np.sign(preference[own] - 0.5) == sign).mean(), abs=1e-12)
    for metric in ("win_rate", "lc_win_rate"):
        assert got[metric, "avg"] == pytest.approx((got[metric, "en"] + got[metric, "es"]) / 2)


def verdicts(rng: np.random.Generator, n: int, effect: float) -> pd.DataFrame:
    """Two languages; problems are hard or easy in both; ``effect`` of the length on the preference."""
    hard, parts = rng.standard_normal(n), []
    for lang in ("en", "es"):
        difference = np.round(rng.normal(50, 100, n))
        chance = 1 / (1 + np.exp(0.3 - hard - effect * np.tanh(difference / 100)))
        preference = (rng.random((2, n)) < chance).mean(axis=0)
        own = {"preference": preference, "length_difference": difference if effect else 0.0}
        parts.append(pd.DataFrame({"id": [str(k) for k in range(n)], "lang": lang} | own))
    return pd.concat(parts)


def test_bounds_without_a_length_effect_are_those_of_the_plain_win_rate() -> None:
    """With equal lengths the two figures are the same one; the refits only estimate its variance."""
    table = verdicts(np.random.default_rng(13), 100, effect=0)
    controlled = length_controlled_rows(table, common(["en", "es"]))
    simple = added("preference", table, common(["en", "es"]))
    for got, expected in zip(controlled, simple, strict=True):
        assert (got["lang"], got["split"], got["n"]) == (expected["lang"], expected["split"], expected["n"])
        assert got["value"] == pytest.approx(expected["value"])
        width = expected["high"] - expected["low"]
        assert got["low"] == pytest.approx(expected["low"], abs=0.1 * width)
        assert got["high"] == pytest.approx(expected["high"], abs=0.1 * width)


def test_refits_resample_problems_in_all_their_languages() -> None:
    table = verdicts(np.random.default_rng(14), 80, effect=1.0)
    copies = pd.concat([table[table["lang"] == "en"], table[table["lang"] == "en"].assign(lang="es")])
    draws = length_controlled_draws(copies, seed=3, resamples=20)
    assert (draws["en"] == draws["es"]).all()
    assert draws["en"].nunique() == 20
    assert draws.equals(length_controlled_draws(copies, seed=3, resamples=20))
    assert not draws.equals(length_controlled_draws(copies, seed=4, resamples=20))


def test_a_language_with_a_single_verdict_does_not_break_the_others() -> None:
    table = verdicts(np.random.default_rng(15), 30, effect=1.0)
    few = pd.concat([table[table["lang"] == "en"], table[(table["lang"] == "es") & (table["id"] == "0")]])
    found = length_controlled_rows(few, common(["en", "es"]), resamples=30)
    assert {row["lang"]: row["n"] for row in found if row["split"] == "train"} == {"en": 30, "es": 1, "avg": 30}
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in found)


def test_premise_table_by_hand() -> None:
    prompts: dict[str, list[Any]] = {
        lang: [{"id": "1", "lang": lang}, {"id": "2", "lang": lang}] for lang in ("en", "es")
    }
    answers = {
        ("en", "en"): {"1": "xxxxx", "2": "xxxx"},
        ("es", "es"): {"1": "xx", "2": ""},
        ("en", "es"): {"2": "xxx"},  # the translation of 1 did not parse
    }
    found = premise_table(LengthJudge(), prompts, answers)
    assert list(found[["id", "lang", "source", "kind", "score"]].itertuples(index=False, name=None)) == [
        ("1", "en", "en", "self_generation", 5.0),
        ("2", "en", "en", "self_generation", 4.0),
        ("1", "es", "es", "self_generation", 2.0),
        ("2", "es", "es", "self_generation", 0.0),
        ("2", "es", "en", "self_translation", 3.0),
    ]


def test_reward_table_by_hand() -> None:
    prompts: dict[str, list[Any]] = {lang: [{"id": "1", "lang": lang}] for lang in ("en", "es", "de")}
    pairs: list[Any] = [
        {"id": "1", "lang": "es", "via": "en", "chosen": "xx", "rejected": "x"},
        {"id": "1", "lang": "en", "via": "es", "chosen": "x", "rejected": "xx"},
        {"id": "1", "lang": "en", "via": "de", "chosen": "x", "rejected": "y"},
    ]
    found = reward_table(LengthJudge(), prompts, pairs)
    assert list(found[["id", "lang", "via"]].itertuples(index=False, name=None)) == [
        ("1", "es", "en"), ("1", "en", "es"), ("1", "en", "de"),
    ]  # fmt: skip
    assert list(found["agrees"][:2]) == [1.0, 0.0]
    assert math.isnan(found["agrees"][2])


def test_reward_table_of_no_pairs_still_has_its_columns() -> None:
    assert list(reward_table(LengthJudge(), {"en": []}, []).columns) == ["id", "lang", "via", "agrees", "status"]


def test_answers_without_a_score_are_kept_and_counted() -> None:
    prompts: dict[str, list[Any]] = {"en": [{"id": "1", "lang": "en"}, {"id": "2", "lang": "en"}]}
    found = premise_table(SilentJudge(), prompts, {("en", "en"): {"1": "xxxxx", "2": "why?"}})
    assert list(found["status"]) == ["ok", "refused"]
    assert found["score"][0] == 5.0
    assert math.isnan(found["score"][1])
    assert premise.mean_scores(found, ["en"])["self_generation"][0] == 5.0
    assert premise.score_counts(found, ["en"]).loc["en"].to_dict() == {
        "answers": 2, "refused": 1, "unparsable": 0, "failed": 0,
    }  # fmt: skip


def test_a_pair_needs_a_verdict_in_both_orders() -> None:
    """With one order missing, the other one says as much about the position as about the answer."""
    prompts: dict[str, list[Any]] = {"en": [{"id": "1", "lang": "en"}]}
    pairs: list[Any] = [
        {"id": "1", "lang": "en", "via": "es", "chosen": "longer", "rejected": "why?"},
        {"id": "1", "lang": "en", "via": "de", "chosen": "longer", "rejected": "short"},
    ]
    found = reward_table(SilentJudge(), prompts, pairs)
    assert list(found["status"]) == ["refused", "ok"]
    assert math.isnan(found["agrees"][0])
    summary = premise.reward_summary(found, ["en"]).loc["en"]
    assert (summary["accuracy"], summary["decided"], summary["pairs"], summary["refused"]) == (1.0, 1, 2, 1)
