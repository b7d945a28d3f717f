"""Multilingual MT-Bench: the questions, two turns of a real model, a model that judges them, and the figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_judges import INJECTIONS, teach

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.local import LocalModel, load_judge
from ldr_utils.judges.prompted import DIGITS, PromptedJudge
from ldr_utils.policy import prompts
from ldr_utils.policy.transformers import TransformersGenerator
from ldr_utils.scores import mt_bench
from ldr_utils.scores.stats import mean_interval
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import DecodingParams, JudgeParams, MtBenchParams, StudyParams, validate

QUESTIONS: dict[str, list[tuple[int, str, list[str], list[str] | None]]] = {
    "en": [
        (81, "writing", ["Name three colours.", "Now name two animals."], None),
        (111, "math", ["What is 2 + 3?", "Double it."], ["5", "10"]),
    ],
    "es": [  # in another order
        (111, "math", ["¿Cuánto es 2 + 3?", "Dóblalo."], ["5"]),
        (81, "writing", ["Nombra tres colores.", "Ahora nombra dos animales."], []),
    ],
}


@pytest.fixture
def params(tmp_path: Path) -> MtBenchParams:
    folder = tmp_path / "questions"
    folder.mkdir()
    for lang, rows in QUESTIONS.items():
        keys = ("question_id", "category", "turns", "reference")
        lines = [json.dumps(dict(zip(keys, row, strict=True)) | {"extra": 1}, ensure_ascii=False) for row in rows]
        (folder / f"{lang}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    languages: dict[str, Any] = {"languages": ["en", "es"], "unseen": ["it"], "mt_bench_dir": str(folder)}
    return MtBenchParams(**languages, judge="local", judge_model="m")


@pytest.fixture(scope="module")
def generator() -> TransformersGenerator:
    return TransformersGenerator.load(DecodingParams(batch_size=2, max_new_tokens=24, threads=1), 0)


@pytest.fixture(scope="module")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [
        prompts.score_prompt("Nombra tres colores.", "Rojo."),
        prompts.conversation_prompt([("What is 2 + 3?", "The answer is 5.")], "Double it.", "The answer is 10.", "10"),
        prompts.conversation_prompt([("Nombra tres colores.", "Rojo.")], "Ahora nombra dos animales.", "El gato."),
    ]
    return teach(tmp_path_factory.mktemp("models") / "rater", DIGITS, texts)


# Questions


def test_without_a_folder_there_is_nothing_to_do() -> None:
    assert mt_bench.question_files(MtBenchParams()) == {}
    assert mt_bench.read_questions(MtBenchParams()) == {}


def test_questions_are_aligned_and_languages_without_a_file_left_out(params: MtBenchParams) -> None:
    found = mt_bench.read_questions(params)
    assert list(found) == ["en", "es"]
    assert [question["id"] for question in found["es"]] == ["mt-bench-81", "mt-bench-111"]
    assert [question["references"] for question in found["en"]] == [["", ""], ["5", "10"]]
    assert found["es"][1] == {
        "id": "mt-bench-111",
        "lang": "es",
        "category": "math",
        "turns": ["¿Cuánto es 2 + 3?", "Dóblalo."],
        "references": ["5", ""],
    }


@pytest.mark.parametrize("schema", [MtBenchParams, StudyParams])
def test_the_rubric_does_not_score_it(schema: type[MtBenchParams]) -> None:
    with pytest.raises(InputError, match=r"^p.yaml: judge: the rubric cannot score MT-Bench; choose local or openai"):
        validate(schema, {"mt_bench_dir": "somewhere"}, "p.yaml")


# Answers


def test_the_second_turn_follows_the_first_and_its_answer(
    params: MtBenchParams, generator: TransformersGenerator, tmp_path: Path
) -> None:
    answers = mt_bench.answer(generator, mt_bench.read_questions(params), tmp_path)
    assert [(a["id"], a["turn"]) for a in answers["en"]] == [
        (name, turn) for turn in (1, 2) for name in ("mt-bench-81", "mt-bench-111")
    ]
    first, second = answers["en"][1], answers["en"][3]
    assert first["earlier"] == []
    assert second["earlier"] == [["What is 2 + 3?", first["response"]]]
    assert (second["prompt"], second["reference"]) == ("Double it.", "10")
    assert {"response", "tokens", "finished"} <= second.keys()
    chat = [("user", "What is 2 + 3?"), ("assistant", first["response"]), ("user", "Double it.")]
    ids = generator.prompt_ids([{"role": role, "content": text} for role, text in chat])
    assert second["response"] == generator.complete([ids])[0].text
    assert read_jsonl(tmp_path / "turn2" / "es.jsonl") == answers["es"][2:]


def test_a_run_that_broke_ends_with_the_same_files(
    params: MtBenchParams, generator: TransformersGenerator, tmp_path: Path
) -> None:
    questions, whole, cut = mt_bench.read_questions(params), tmp_path / "whole", tmp_path / "cut"
    small = TransformersGenerator(generator.policy, generator.params.model_copy(update={"batch_size": 1}))
    answers = mt_bench.answer(small, questions, whole)
    mt_bench.answer(small, questions, cut)
    path = cut / "turn2" / "es.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = json.dumps({"position": 0} | json.loads(lines[0]) | {"response": "kept"})
    path.with_name("es.jsonl.partial").write_text(kept + "\n" + lines[1][:40], encoding="utf-8")
    path.unlink()
    again = mt_bench.answer(small, questions, cut)
    assert again["es"][2]["response"] == "kept"  # not asked a second time
    assert again["es"][3] == answers["es"][3]
    assert {p.name: p.read_bytes() for p in (cut / "turn1").iterdir()} == {
        p.name: p.read_bytes() for p in (whole / "turn1").iterdir()
    }
    assert not list(cut.rglob("*.partial"))


# Judging


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_of_a_conversation_leaves_its_lines_or_ends_its_turn(text: str) -> None:
    policy = load_judge("models/micro")
    special = set(policy.tokenizer.all_special_ids) | set(policy.tokenizer.added_tokens_decoder)

    def turns(prompt: str) -> int:
        return sum(token in special for token in policy.prompt_ids([{"role": "user", "content": prompt}]))

    prompt = prompts.conversation_prompt([(text, text)], text, text, text)
    fence = re.search(r"\[instruction 1 ([0-9a-f]{16})\]", prompt)
    assert fence is not None
    assert fence[1] not in text
    names = re.findall(rf"^\[(.+) {fence[1]}\]$", prompt, re.MULTILINE)
    assert [name for name in names if name != "end"] == [
        "instruction 1",
        "answer 1",
        "last instruction",
        "reference answer",
        "last answer",
    ]
    assert names.count("end") == 5
    assert turns(prompt) == turns(prompts.conversation_prompt([("a", "b")], "c", "d", "e"))


def test_turns_are_scored_by_a_model_and_asked_once(
    params: MtBenchParams, generator: TransformersGenerator, rater: Path, tmp_path: Path
) -> None:
    answers = mt_bench.answer(generator, mt_bench.read_questions(params), tmp_path / "answers")
    path = tmp_path / "cache.jsonl"
    own = JudgeParams(judge="local", judge_model=str(rater), judge_batch_size=2)
    table = mt_bench.score(PromptedJudge(LocalModel(own), VerdictCache(path)), answers)
    assert list(table["status"]) == ["ok"] * 8
    assert table["score"].between(0, 10).all()
    assert list(table[["id", "lang", "turn"]].itertuples(index=False, name=None)) == [
        (a["id"], a["lang"], a["turn"]) for own in answers.values() for a in own
    ]
    assert len(path.read_text().splitlines()) == 8
    kept = path.read_bytes()
    pd.testing.assert_frame_equal(mt_bench.score(PromptedJudge(LocalModel(own), VerdictCache(path)), answers), table)
    assert path.read_bytes() == kept
    mt_bench.score(PromptedJudge(LocalModel(own), VerdictCache(path)), retold(answers))
    assert len(path.read_text().splitlines()) == 8 + 4  # the same second answers after other first ones
    rows = mt_bench.result_rows(table, params)
    assert {row["metric"] for row in rows} == {"score", "score_turn1", "score_turn2", "refused", "unparsable", "failed"}


def retold(answers: dict[str, list[mt_bench.Turn]]) -> dict[str, list[mt_bench.Turn]]:
    """Second turns with another first answer before them."""
    return {
        lang: [{**a, "earlier": [[user, said + "!"] for user, said in a["earlier"]]} for a in own]
        for lang, own in answers.items()
    }


# Figures


def scored(rows: Sequence[tuple[str, str, int, float | None]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["id", "lang", "turn", "score"]).astype({"score": float})
    return table.assign(category="writing", status=["failed" if points is None else "ok" for *_, points in rows])


def test_figures_are_those_of_the_formulas(params: MtBenchParams) -> None:
    values = [("a", 1, 10.0), ("a", 2, 6.0), ("b", 1, 4.0), ("b", 2, 1.0)]
    table = scored([(i, "en", turn, x) for i, turn, x in values] + [(i, "es", turn, x / 2) for i, turn, x in values])
    found = {(r["metric"], r["lang"], r["split"]): r for r in mt_bench.result_rows(table, params)}
    assert {r["task"] for r in found.values()} == {"mt_bench"}
    expected = {"score": (8 + 2.5) / 2, "score_turn1": 7.0, "score_turn2": 3.5}
    for metric, mean in expected.items():
        assert found[metric, "en", "train"]["value"] == pytest.approx(mean)
        assert found[metric, "avg", "all"]["value"] == pytest.approx(mean * 3 / 4)
        assert found[metric, "en", "train"]["n"] == 2
    interval = mean_interval(pd.DataFrame({"en": [0.8, 0.25]}))["en"]
    own = found["score", "en", "train"]
    assert (own["low"], own["high"]) == pytest.approx((10 * interval.low, 10 * interval.high))
    assert found["failed", "es", "train"] | {"value": 0.0, "n": 4} == found["failed", "es", "train"]


def test_an_answer_without_a_verdict_is_counted_and_left_out(params: MtBenchParams) -> None:
    table = scored([("a", "en", 1, 10.0), ("a", "en", 2, None), ("b", "en", 1, 4.0), ("b", "en", 2, 2.0)])
    found = {(r["metric"], r["lang"]): r for r in mt_bench.result_rows(table, params)}
    assert (found["score", "en"]["value"], found["score", "en"]["n"]) == (pytest.approx(3.0), 1)
    assert (found["score_turn1", "en"]["value"], found["score_turn1", "en"]["n"]) == (pytest.approx(7.0), 2)
    assert (found["failed", "en"]["value"], found["failed", "en"]["n"]) == (1.0, 4)
    assert found["refused", "en"]["value"] == 0.0


def test_a_language_without_any_second_score_has_no_score(params: MtBenchParams) -> None:
    table = scored([("a", "en", 1, 5.0), ("a", "en", 2, 7.0), ("a", "es", 1, 5.0), ("a", "es", 2, None)])
    langs = {r["lang"] for r in mt_bench.result_rows(table, params) if r["metric"] == "score"}
    assert langs == {"en", "avg"}


def test_full_marks_stay_in_range(params: MtBenchParams) -> None:
    """A judge's weights sum to one but for rounding."""
    table = scored([("a", "en", turn, 10.000000000000002) for turn in (1, 2)])
    assert max(r["value"] for r in mt_bench.result_rows(table, params) if r["metric"] == "score") == 10.0


def test_categories_are_averaged_over_turns() -> None:
    table = scored([("a", "en", 1, 10.0), ("a", "en", 2, 6.0), ("a", "es", 1, 4.0), ("a", "es", 2, 2.0)])
    assert mt_bench.category_table(table, ["es", "en"]).to_dict("index") == {"writing": {"es": 3.0, "en": 8.0}}
