"""From responses to rows of results.csv, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from ldr_utils import premise
from ldr_utils.evaluation import length_controlled_rows, premise_table, reward_table, score_mgsm, summarise, wide
from ldr_utils.judging import Answer, Case, Score, Verdict, length_controlled
from ldr_utils.params import Common
from ldr_utils.results import COLUMNS

LANGUAGES = ["en", "es", "de"]


class LengthJudge:
    """The longer text is the better one."""

    name = "length"

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


def common(languages: list[str] = LANGUAGES, unseen: list[str] | None = None) -> Common:
    return Common(study="tiny", seed=4, languages=languages, unseen=unseen or [])


def test_score_mgsm_by_hand() -> None:
    spanish = "Al principio Ana tiene 12 libros. Después quedan 5. La respuesta es 7."
    german = "Am Anfang hat Anna 12 Bücher. Danach bleiben 5 übrig. Die Antwort ist 7."
    answers = [
        ("1", "es", "7", spanish, (1.0, 0.0, 0.0)),
        ("2", "es", "8", spanish, (0.0, 0.0, 0.0)),
        ("3", "es", "7", german, (1.0, 1.0, 0.0)),
        ("1", "de", "7", "Das weiß ich leider wirklich nicht.", (0.0, 0.0, 1.0)),
        ("2", "de", "7", "", (0.0, 0.0, 1.0)),
        ("3", "de", "7", "7", (1.0, 0.0, 0.0)),
    ]
    responses = [{"id": i, "lang": lang, "gold": gold, "response": text} for i, lang, gold, text, _ in answers]
    found = score_mgsm(responses, LANGUAGES)
    assert list(zip(found["id"], found["lang"], strict=True)) == [(i, lang) for i, lang, *_ in answers]
    got = list(found[["accuracy", "off_target", "no_answer"]].itertuples(index=False, name=None))
    assert got == [expected for *_, expected in answers]


def test_level_is_passed_on_where_there_is_one() -> None:
    record = {"id": "1", "lang": "en", "gold": "7", "response": "7"}
    assert score_mgsm([record | {"level": 3}], LANGUAGES)["level"][0] == 3
    assert score_mgsm([record], LANGUAGES)["level"][0] is None


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


def test_summarise_splits_and_columns() -> None:
    params = common(["en", "es"], ["it", "sw"])
    table = scores(en=[1, 1, 1, 1], es=[1, 0, 1, 1], it=[0, 0, 1, 1], sw=[0, 0, 0, 1])
    found = summarise(table, "accuracy", params, "lidr", "M1", "mgsm")
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
        same = {"study": "tiny", "arm": "lidr", "seed": 4, "model": "M1", "task": "mgsm", "metric": "accuracy", "n": 4}
        assert same.items() <= row.items()
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_summarise_without_unseen_languages_has_no_unseen_row() -> None:
    found = summarise(scores(en=[1, 0], es=[1, 1]), "accuracy", common(["en", "es"]), "sft", "M2", "mgsm")
    assert [(r["lang"], r["split"]) for r in found] == [
        ("en", "train"), ("es", "train"), ("avg", "train"), ("avg", "all"),
    ]  # fmt: skip


def test_summarise_reports_the_languages_that_were_scored() -> None:
    """Reward tables have the training languages only, though the study has unseen ones."""
    found = summarise(scores(en=[1, 0], es=[1, 1]), "accuracy", common(["en", "es"], ["sw"]), "lidr", "M0", "reward")
    assert {(r["lang"], r["split"]) for r in found} == {
        ("en", "train"), ("es", "train"), ("avg", "train"), ("avg", "all"),
    }  # fmt: skip


def test_length_controlled_rows() -> None:
    params = common(["en", "es"], ["sw"])
    spanish = {"preference": [1.0, 0.0, 0.5, 1.0], "length_difference": [10, -4, 3, -20]}
    parts = [
        pd.DataFrame({"id": list("abcd"), "lang": "en", "preference": [1.0, 1.0, 0.0, 0.0], "length_difference": 0}),
        pd.DataFrame({"id": list("abcd"), "lang": "es"} | spanish),
        pd.DataFrame({"id": list("abcd"), "lang": "sw", "preference": 0.0, "length_difference": [1, 2, 3, 4]}),
    ]
    found = length_controlled_rows(pd.concat(parts), params, "lidr", "M1")
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
    assert all(list(row) == COLUMNS and row["n"] == 4 and math.isnan(row["low"]) for row in found)


def test_premise_table_by_hand() -> None:
    prompts = {lang: [{"id": "1", "lang": lang}, {"id": "2", "lang": lang}] for lang in ("en", "es")}
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
    prompts = {lang: [{"id": "1", "lang": lang}] for lang in ("en", "es", "de")}
    pairs = [
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
    prompts = {"en": [{"id": "1", "lang": "en"}, {"id": "2", "lang": "en"}]}
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
    prompts = {"en": [{"id": "1", "lang": "en"}]}
    pairs = [
        {"id": "1", "lang": "en", "via": "es", "chosen": "longer", "rejected": "why?"},
        {"id": "1", "lang": "en", "via": "de", "chosen": "longer", "rejected": "short"},
    ]
    found = reward_table(SilentJudge(), prompts, pairs)
    assert list(found["status"]) == ["refused", "ok"]
    assert math.isnan(found["agrees"][0])
    summary = premise.reward_summary(found, ["en"]).loc["en"]
    assert (summary["accuracy"], summary["decided"], summary["pairs"], summary["refused"]) == (1.0, 1, 2, 1)
