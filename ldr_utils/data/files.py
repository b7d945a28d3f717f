"""The real data sets, from a folder or from where they are published, as the records that the study reads.

The folder (``data_dir``), with the keys that a row must have; ``.jsonl`` is one object a line, ``.json`` one list:

- ``alpagasus/iter<t>/<lang>.jsonl``: id, instruction; ids alpagasus-<1000 t> to alpagasus-<1000 t + 999>
- ``alpagasus/translation_task_ids.json``: ids of the prompts that are translation tasks
- ``gsm8k/<lang>.jsonl``: id, instruction, final_answer
- ``mgsm/mgsm_<lang>.jsonl``: query, response; the same order in every language
- ``x-alpacaeval/prompts/<lang>.json``: id, dataset, instruction
- ``x-alpacaeval/reference/<lang>.json``: instruction, output, in the order of the prompts; a language may have none
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.data.downloads import (
    ALPAGASUS,
    GSM8K,
    LICENCES,
    PUBLISHED,
    TRANSLATION_TASKS,
    find,
)
from ldr_utils.languages.numbers import parse_number
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import LONGEST, parse_json
from ldr_utils.study.paths import check_names
from ldr_utils.study.records import DataSet, Prompt, Record

# The paper asks in English for an answer in the question's language; the wording is our own.
PROBLEM_PREFIX = (
    "Answer the following question in {language}. Reason step by step and end with the result as a single number."
)

LOCAL = "local folder"  # in place of a revision


@dataclass(frozen=True)
class Source:
    """Where files of a set came from; ``sha256s`` has a digest for each file, under its name in the folder."""

    name: str
    licence: str
    origin: str
    revision: str
    sha256s: dict[str, str]


def source_table(sources: Sequence[Source]) -> pd.DataFrame:
    """One row a file: ``set``, ``file``, ``licence``, ``origin``, ``revision`` and ``sha256`` (both shortened)."""
    return pd.DataFrame(
        [
            {
                "set": source.name,
                "file": name,
                "licence": source.licence,
                "origin": source.origin,
                "revision": source.revision[:12],
                "sha256": digest[:12],
            }
            for source in sources
            for name, digest in (source.sha256s or {"": ""}).items()
        ]
    )


def languages_published(layout: str, data_dir: Path | None = None) -> list[str]:
    """Languages in which a file of the layout exists, such as ``MGSM``: in the folder, or published.

    Raises
    ------
    InputError
        When ``data_dir`` is not a folder, or a file's name is nearly that of a language's.
    """
    if data_dir is None:
        return [lang for file in PUBLISHED if file.layout == layout for lang in file.languages.split()]
    if not data_dir.is_dir():
        raise InputError(f"data_dir: {data_dir} is not a folder; give one in the layout of ldr_utils/data/files.py")
    before, _, after = layout.partition("{lang}")
    names = [path.relative_to(data_dir).as_posix() for path in data_dir.glob(f"{before}*{after}")]
    languages = sorted(name.removeprefix(before).removesuffix(after) for name in names)
    place = data_dir / layout
    check_names("data_dir", place.parent, (place.name.format(lang=lang) for lang in LANGUAGES))
    return languages


@dataclass(frozen=True)
class Row:
    """A row of a file; ``where`` names both."""

    values: Record
    where: str

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{self.where}: {key}: is missing or holds no text; add it")
        if len(value) > LONGEST or "\0" in value:
            raise InputError(f"{self.where}: {key}: has a NUL or over {LONGEST:,} characters; repair it")
        return value

    def number(self, key: str) -> str:
        value = self.text(key)
        if parse_number(value, "en") is None:
            raise InputError(f"{self.where}: {key}: {value[:60]!r} is not one number; correct it")
        return value.replace(",", "")


Build = Callable[[Row, int, str], Prompt]  # from a row, its position and its language


class Files:
    """Reads files of the layout, and keeps their digests."""

    def __init__(self, data_dir: Path | None, problem_prefix: str = "") -> None:
        self.data_dir, self.problem_prefix = data_dir, problem_prefix or PROBLEM_PREFIX
        self._digests: dict[tuple[str, str, str], dict[str, str]] = {}

    def sources(self) -> list[Source]:
        return [Source(key[0], LICENCES[key[0]][0], *key[1:], digests) for key, digests in self._digests.items()]

    def name(self, layout: str, lang: str) -> str:
        name = layout.format(lang=lang)
        return name if self.data_dir is None else str(self.data_dir / name)

    def rows(self, layout: str, lang: str = "") -> list[Row]:
        name, (path, origin, revision) = self.name(layout, lang), self._locate(layout, lang)
        try:
            content = path.read_bytes()
            values = _parse(content.decode("utf-8-sig"), path.suffix, name)
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: not UTF-8 text (byte {error.start}); re-save the file as UTF-8") from None
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror}); add the file to data_dir") from None
        digests = self._digests.setdefault((layout.split("/")[0], origin, revision), {})
        digests[layout.format(lang=lang)] = hashlib.sha256(content).hexdigest()
        # Translation tasks are bare ids in the folder, objects where they are published.
        rows = [value if isinstance(value, dict) else {"id": value} for value in values]
        return [Row(row, f"{name}: row {number}") for number, row in enumerate(rows, 1)]

    def _locate(self, layout: str, lang: str) -> tuple[Path, str, str]:
        name, known = self.name(layout, lang), languages_published(layout, self.data_dir)
        if lang and lang not in known:
            there = f"there is only {', '.join(known)}" if known else "nor one in another language"
            raise InputError(f"{name}: no such file, {there}; remove {lang!r} from the languages of the set or add it")
        if self.data_dir is not None:
            return Path(name), "data_dir", LOCAL
        file = find(layout, lang)
        try:
            path = file.fetch(lang)
        except (OSError, HTTPException) as error:
            why = " ".join(str(error).split())[:120]
            remedy = "connect to the network, or set data_dir to a folder that has this file"
            raise InputError(f"{name}: cannot be downloaded from {file.pin} ({why}); {remedy}") from None
        origin, _, revision = file.pin.partition("@")
        return path, origin, revision


def _parse(text: str, suffix: str, name: str) -> list[Any]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if suffix == ".tsv":
        return [dict(zip(("query", "response"), line.split("\t"), strict=False)) for _, line in lines]
    values: list[Any] = []
    for number, part in [(1, text)] if suffix == ".json" else lines:
        values.append(parse_json(part, name, number))
    rows = values[0] if suffix == ".json" else values
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{name}: holds no list of rows; fill it")
    return rows


def _alpagasus(files: Files, t: int, languages: Sequence[str], limit: int) -> DataSet:
    tasks = {row.text("id") for row in files.rows(TRANSLATION_TASKS)}

    def record(row: Row, position: int, lang: str) -> Prompt:
        example = row.text("id")
        number = re.fullmatch(r"alpagasus-([0-9]{1,9})", example)
        if number is None or int(number[1]) // 1000 != t:
            belongs = f"alpagasus-{1000 * t} to alpagasus-{1000 * t + 999} belong to iteration {t}"
            raise InputError(f"{row.where}: id: is {example[:60]!r}, but {belongs}; move or remove the row")
        made = record_of(example, lang, "alpagasus", row.text("instruction"))
        if example in tasks:
            made["translation_task"] = True
        return made

    return aligned(files, ALPAGASUS.format(t=t), languages, record, slice(limit))


def _gsm8k(files: Files, t: int, languages: Sequence[str], limit: int) -> DataSet:
    def record(row: Row, position: int, lang: str) -> Prompt:
        if "question" in row.values:  # English, as OpenAI publishes it
            gold = row.text("answer").rpartition("####")[2].strip()
            values = {"id": f"gsm8k_{position}", "instruction": row.text("question"), "final_answer": gold}
            row = Row(values, row.where)
        # The release starts the id of a translation with its language: esgsm8k_0.
        example = row.text("id").removeprefix(lang)
        question, gold = row.text("instruction"), row.number("final_answer")
        return problem_of(example, lang, "gsm8k", question, gold, files.problem_prefix)

    return aligned(files, GSM8K, languages, record, slice(t * limit, (t + 1) * limit))


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


def problem_of(example: str, lang: str, kind: str, question: str, gold: str, prefix: str = PROBLEM_PREFIX) -> Prompt:
    """The record of a word problem, asked as the paper asks: ``prefix`` names the language of the answer."""
    prompt = f"{prefix.replace('{language}', LANGUAGES[lang].name)}\n\n{question}"
    record = record_of(example, lang, kind, prompt)
    return {**record, "family": "arithmetic", "question": question, "gold": gold}


def aligned(files: Files, layout: str, languages: Sequence[str], record: Build, chosen: slice) -> DataSet:
    """Read all rows of all languages, check that they tell of the same problems, and keep the chosen ones."""
    rows = {lang: files.rows(layout, lang) for lang in languages}
    sets = {lang: [record(row, k, lang) for k, row in enumerate(rows[lang])] for lang in languages}
    first = sets[languages[0]]
    for lang, records in sets.items():
        name = files.name(layout, lang)
        seen: set[str] = set()
        for number, (own, other) in enumerate(zip_longest(records, first), 1):
            if _identity(own) != _identity(other):
                there = f"{_identity(own)}, but {languages[0]} has {_identity(other)}"
                raise InputError(f"{name}: row {number}: {there}; give every language the same rows in the same order")
            if own["id"] in seen:
                raise InputError(f"{name}: row {number}: id: {own['id']} is there twice; remove one")
            seen.add(own["id"])
    if not first[chosen]:
        held = f"{files.name(layout, languages[0])}: holds {len(first)} rows"
        raise InputError(f"{held}, none is left for this iteration; lower prompts_per_iteration")
    english: dict[str, str] = {own["id"]: own.get("question") or own["prompt"] for own in sets.get("en", [])}
    for records in sets.values():
        for own in records:
            own["problem"] = " ".join(english.get(own["id"], str(own["id"])).casefold().split())
    return {lang: records[chosen] for lang, records in sets.items()}


def _identity(record: Prompt | None) -> str:
    if record is None:
        return "no such row"
    return f"{record['id']} with answer {record['gold']}" if "gold" in record else str(record["id"])


TRAIN_SETS: dict[str, Callable[[Files, int, Sequence[str], int], DataSet]] = {
    "alpagasus": _alpagasus,  # instructions: ids from 1000 t for iteration t
    "gsm8k": _gsm8k,  # questions: the next ones for each t
}
