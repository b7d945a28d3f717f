"""Records of prompts, the same in every language: in the same order, with the same golds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

from ldr_utils.data.files import Files, Row
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.records import DataSet, Prompt

Build = Callable[[Row, int, str], Prompt]  # from a row, its position and its language


def record_of(example: str, lang: str, kind: str, text: str) -> Prompt:
    """The record of an instruction."""
    return {
        "id": example,
        "lang": lang,
        "family": "instruction",
        "kind": kind,
        "problem": example,
        "prompt": text,
    }


def problem_of(example: str, lang: str, kind: str, question: str, gold: str, prefix: str) -> Prompt:
    """The record of a word problem, asked as the paper asks: ``prefix`` names the language of the answer."""
    prompt = f"{prefix.replace('{language}', LANGUAGES[lang].name)}\n\n{question}"
    record = record_of(example, lang, kind, prompt)
    return {**record, "family": "arithmetic", "question": question, "gold": gold}


def aligned(files: Files, layout: str, languages: Sequence[str], record: Build) -> DataSet:
    """Read all rows of all languages, and check that they tell of the same problems in the same order."""
    sets = {lang: [record(row, k, lang) for k, row in enumerate(files.rows(layout, lang))] for lang in languages}
    first = sets[languages[0]]
    for lang, records in sets.items():
        name = files.name(layout, lang)
        seen: set[str] = set()
        for number, (own, other) in enumerate(zip_longest(records, first), 1):
            if identity(own) != identity(other):
                there = f"{identity(own)}, but {languages[0]} has {identity(other)}"
                raise InputError(f"{name}: row {number}: {there}; give every language the same rows in the same order")
            if own["id"] in seen:
                raise InputError(f"{name}: row {number}: id: {own['id']} is there twice; remove one")
            seen.add(own["id"])
    return with_problems(sets)


def identity(record: Prompt | None) -> str:
    """What a record must have in common with those of the other languages."""
    if record is None:
        return "no such row"
    return f"{record['id']} with answer {record['gold']}" if "gold" in record else str(record["id"])


def with_problems(sets: DataSet) -> DataSet:
    """Name the problem of every record: its English text, or its id where there is none."""
    english: dict[str, str] = {own["id"]: own.get("question") or own["prompt"] for own in sets.get("en", [])}
    for records in sets.values():
        for own in records:
            own["problem"] = " ".join(english.get(own["id"], str(own["id"])).casefold().split())
    return sets


def first_rows(sets: DataSet, limit: int | None) -> DataSet:
    """The first ``limit`` records of every language."""
    return {lang: records[:limit] for lang, records in sets.items()}


def in_turn(sets: DataSet, name: str, iterations: int, limit: int) -> list[DataSet]:
    """Cut the sets of the iterations out of ``sets``, one after the other, ``limit`` records each.

    Raises
    ------
    InputError
        When there are too few.
    """
    held = len(next(iter(sets.values())))
    if iterations * limit > held:
        raise InputError(too_few(name, held, iterations, limit))
    return [{lang: records[t * limit : (t + 1) * limit] for lang, records in sets.items()} for t in range(iterations)]


def too_few(name: str, held: int, iterations: int, limit: int) -> str:
    """The refusal where ``held`` prompts do not suffice."""
    asked = f"{iterations} iterations of {limit:,} take {iterations * limit:,} prompts, but {name} has {held:,}"
    return f"prompts_per_iteration: {asked}; lower it, or iterations"
