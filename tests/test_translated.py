"""Training prompts that are made: what becomes of a translation, what is lost, and who waits for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ldr_utils.commands.estimates import CARDS
from ldr_utils.commands.hours import hours_by_stage
from ldr_utils.commands.model_files import translators_of
from ldr_utils.commands.shapes import KNOWN
from ldr_utils.data import translated
from ldr_utils.method.pairs import build_pairs
from ldr_utils.method.translation import to_translate
from ldr_utils.policy.prompts import CLOSE_TAG
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import PairsParams, StudyParams, load_params
from ldr_utils.study.paths import ROOT
from ldr_utils.study.stages import place, places

ASKED: Any = {"id": "1", "lang": "en", "family": "instruction", "kind": "own", "problem": "1", "prompt": "Say it."}
PROBLEM: Any = ASKED | {"prompt": "In English.\n\nTwo and two?", "question": "Two and two?", "gold": "4"}
SPANISH = "¿Cuántas manzanas tiene Ana en su casa?"


def reply(text: str, closed: bool = True) -> Any:
    return {"id": "1", "source_lang": "en", "target_lang": "es", "response": text + (CLOSE_TAG if closed else "")}


def test_an_instruction_keeps_all_but_its_words() -> None:
    task = ASKED | {"translation_task": True}
    made = translated.prompts_of([task], [reply(SPANISH)], "es", "")
    assert made.prompts == [task | {"lang": "es", "prompt": SPANISH}]
    assert made.lost == []


def test_of_a_word_problem_the_question_is_translated_and_the_gold_stays() -> None:
    assert translated.texts([ASKED, PROBLEM]) == [
        {"id": "1", "response": "Say it."},
        {"id": "1", "response": "Two and two?"},
    ]
    (made,) = translated.prompts_of([PROBLEM], [reply(SPANISH)], "es", "Answer in {language}:").prompts
    assert made["prompt"] == f"Answer in Spanish:\n\n{SPANISH}"
    assert (made["question"], made["gold"], made["lang"]) == (SPANISH, "4", "es")
    (ours,) = translated.prompts_of([PROBLEM], [reply(SPANISH)], "es", "").prompts
    assert "in Spanish." in ours["prompt"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (reply(SPANISH, closed=False), "no_closing_tag"),
        (reply(""), "empty"),
        (reply("How many apples does Anna have in her house?"), "off_target"),
    ],
)
def test_what_is_lost_is_told_with_its_reason(given: Any, reason: str, tmp_path: Path) -> None:
    made = {("iteration0", "es"): translated.prompts_of([ASKED, ASKED], [reply(SPANISH), given], "es", "")}
    assert translated.counts(made) == {"iteration0": {"es": {"prompts": 1, reason: 1}}}
    assert translated.summary(made)[["prompts", "lost", reason]].to_numpy().tolist() == [[1, 1, 1]]
    translated.write(tmp_path, made)
    (lost,) = read_jsonl(tmp_path / "iteration0" / "es.dropped.jsonl")
    assert lost == {"id": "1", "lang": "es", "via": "en", "stage": "prompts", "reason": reason}
    none_left = {("iteration0", "es"): translated.prompts_of([ASKED], [given], "es", "")}
    with pytest.raises(InputError, match=rf"all 1 prompts of iteration0 were lost in es \({reason} 1\); name another"):
        translated.write(tmp_path / "other", none_left)
    assert not (tmp_path / "other").exists()


def test_a_lost_prompt_is_lost_in_its_language_alone() -> None:
    def answers(lang: str, *ids: str) -> Any:
        return [{"id": k, "prompt": k, "response": f"{lang} {k}", "finished": True} for k in ids]

    responses = {"en": answers("en", "1", "2"), "es": answers("es", "2"), "de": answers("de", "1", "2")}
    assert [row["id"] for row in to_translate(responses, "en", "es")] == ["2"]
    assert [row["id"] for row in to_translate(responses, "es", "en")] == ["2"]
    directions = [("en", "es"), ("es", "en"), ("en", "de"), ("de", "en")]
    translations: Any = {
        (source, target): [
            {"id": row["id"], "response": f"to {target}{CLOSE_TAG}"} for row in to_translate(responses, source, target)
        ]
        for source, target in directions
    }
    pairs = build_pairs(responses, translations, PairsParams(languages=["en", "es", "de"], unseen=[]))
    assert len(pairs.kept) == 6
    assert [(row["id"], row["lang"], row["via"], row["stage"], row["reason"]) for row in pairs.dropped] == [
        ("1", "es", "en", "prompts", "no_prompt"),
        ("1", "en", "es", "prompts", "no_prompt"),
    ]


LOW = load_params(ROOT / "params" / "llama3-8b-low-resource.yaml")
EXTERNAL = load_params(ROOT / "params" / "llama3-8b-low-resource-external.yaml")


def test_the_stage_is_there_where_it_is_asked_for_and_waited_for() -> None:
    assert [one.folder for one in places(LOW)][:3] == ["data", "prompts", "M0/responses"]
    assert "prompts" not in {one.stage.name for one in places(StudyParams())}
    for name in ("generation", "premise"):
        assert "prompts" in {one.stage.name for one in place(name).reads(LOW)}
        assert "prompts" not in {one.stage.name for one in place(name).reads(StudyParams())}


def test_its_model_and_its_time_are_looked_at_before() -> None:
    assert translators_of(LOW) == {}
    assert set(translators_of(EXTERNAL)) == {"translator", "translate_prompts"}
    hours = hours_by_stage(LOW, CARDS["GPU, 80 GB"], KNOWN["meta-llama-3-8b-instruct"], has_vllm=True)
    assert 0 < hours["prompts"] < hours["generation"]
