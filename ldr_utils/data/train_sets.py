"""What a study can train on: the published sets of prompts, one record each, or a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ldr_utils.data import own_prompts
from ldr_utils.data.alignment import Build, aligned, first_rows, in_turn, problem_of, record_of
from ldr_utils.data.downloads import ALPAGASUS, GSM8K, TRANSLATION_TASKS, ULTRAFEEDBACK
from ldr_utils.data.files import Files, Row
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import from_root
from ldr_utils.study.records import DataSet, Prompt

Draw = Callable[[Files, Sequence[str], int, int], list[DataSet]]  # in languages, for iterations, so many prompts each


@dataclass(frozen=True)
class TrainSet:
    """A published set of training prompts.

    Attributes
    ----------
    layouts : function of int
        Its files for that many iterations.
    draw : function of Files, languages, iterations and a number
        Reads the sets of the iterations, of that many prompts each.
    rows : int
        Prompts in a file where it is published and where all iterations share it; 0 where nothing is to be foreseen.
    """

    layouts: Callable[[int], list[str]]
    draw: Draw
    rows: int = 0


def draw_of(train_set: str, dominant: str) -> Draw:
    """How the prompts of a study are drawn: ``train_set`` is a key of `TRAIN_SETS`, or a folder."""
    if train_set in TRAIN_SETS:
        return TRAIN_SETS[train_set].draw
    return partial(own_prompts.draw, from_root(train_set), dominant)


def _alpagasus(files: Files, languages: Sequence[str], iterations: int, limit: int) -> list[DataSet]:
    """Instructions: ids from 1000 t for iteration t."""
    tasks = {row.text("id") for row in files.rows(TRANSLATION_TASKS)}

    def record(t: int, row: Row, position: int, lang: str) -> Prompt:
        example = row.text("id")
        number = re.fullmatch(r"alpagasus-([0-9]{1,9})", example)
        if number is None or int(number[1]) // 1000 != t:
            belongs = f"alpagasus-{1000 * t} to alpagasus-{1000 * t + 999} belong to iteration {t}"
            raise InputError(f"{row.where}: id: is {example[:60]!r}, but {belongs}; move or remove the row")
        made = record_of(example, lang, "alpagasus", row.text("instruction"))
        if example in tasks:
            made["translation_task"] = True
        return made

    layouts = [ALPAGASUS.format(t=t) for t in range(iterations)]
    sets = [aligned(files, layout, languages, partial(record, t)) for t, layout in enumerate(layouts)]
    return [first_rows(own, limit) for own in sets]


def _gsm8k(files: Files, languages: Sequence[str], iterations: int, limit: int) -> list[DataSet]:
    """Questions: the next ones for each iteration."""

    def record(row: Row, position: int, lang: str) -> Prompt:
        if "question" in row.values:  # English, as OpenAI publishes it
            gold = row.text("answer").rpartition("####")[2].strip()
            values = {"id": f"gsm8k_{position}", "instruction": row.text("question"), "final_answer": gold}
            row = Row(values, row.where)
        # The release starts the id of a translation with its language: esgsm8k_0.
        example = row.text("id").removeprefix(lang)
        question, gold = row.text("instruction"), row.number("final_answer")
        return problem_of(example, lang, "gsm8k", question, gold, files.problem_prefix)

    return _in_turn(files, GSM8K, languages, record, iterations, limit)


def _ultrafeedback(files: Files, languages: Sequence[str], iterations: int, limit: int) -> list[DataSet]:
    """Instructions: the next ones for each iteration."""

    def record(row: Row, position: int, lang: str) -> Prompt:
        return record_of(row.text("instruction_id"), lang, "ultrafeedback", row.text("instruction"))

    return _in_turn(files, ULTRAFEEDBACK, languages, record, iterations, limit)


def _in_turn(
    files: Files,
    layout: str,
    languages: Sequence[str],
    record: Build,
    iterations: int,
    limit: int,
) -> list[DataSet]:
    return in_turn(aligned(files, layout, languages, record), files.name(layout, languages[0]), iterations, limit)


TRAIN_SETS: dict[str, TrainSet] = {
    "alpagasus": TrainSet(lambda iterations: [ALPAGASUS.format(t=t) for t in range(iterations)], _alpagasus),
    "gsm8k": TrainSet(lambda iterations: [GSM8K], _gsm8k),
    "ultrafeedback": TrainSet(lambda iterations: [ULTRAFEEDBACK], _ultrafeedback, rows=1000),
}
