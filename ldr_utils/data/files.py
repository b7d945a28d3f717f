"""The real data sets, from a folder or from where they are published, as the records that the study reads.

The folder (``data_dir``), with the keys that a row must have; ``.jsonl`` is one object a line, ``.json`` one list:

- ``alpagasus/iter<t>/<lang>.jsonl``: id, instruction; ids alpagasus-<1000 t> to alpagasus-<1000 t + 999>
- ``alpagasus/translation_task_ids.json``: ids of the prompts that are translation tasks
- ``gsm8k/<lang>.jsonl``: id, instruction, final_answer; or question, answer, as the English is published
- ``ultrafeedback/<lang>.jsonl``: instruction_id, instruction
- ``mgsm/mgsm_<lang>.jsonl``: query, response; the same order in every language. Also question, and answer_number or
  answer; also the official ``mgsm_<lang>.tsv``, and ``<lang>/test-00000-of-00001.parquet`` as hubs have it
- ``mgsm-rev2/mgsm_<lang>.tsv``: the same, for ``mgsm_set: rev2``
- ``x-alpacaeval/prompts/<lang>.json``: id, dataset, instruction
- ``x-alpacaeval/reference/<lang>.json``: instruction, output, in the order of the prompts; a language may have none

Any file of a language may be ``.jsonl``, ``.json`` or ``.parquet`` instead. A gold number may be a number, or a text
that holds one (18, 18.0, "$18", "1,234"). Prompts of one's own lie in a folder of theirs: `data.own_prompts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path, PurePosixPath

import pandas as pd

from ldr_utils.data.downloads import LICENCES, PUBLISHED, find
from ldr_utils.data.formats import parse_rows
from ldr_utils.languages.numbers import parse_number
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import LONGEST
from ldr_utils.study.paths import check_names
from ldr_utils.study.records import Record

# The paper asks in English for an answer in the question's language; the wording is our own.
PROBLEM_PREFIX = (
    "Answer the following question in {language}. Reason step by step and end with the result as a single number."
)

LOCAL = "local folder"  # in place of a revision
OWN = "own prompts"  # in place of a published set


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
        As `files_in`.
    """
    if data_dir is None:
        return [lang for file in PUBLISHED if file.layout == layout for lang in file.languages.split()]
    return sorted(files_in(data_dir, layout))


def files_in(data_dir: Path, layout: str) -> dict[str, str]:
    """Files of the layout in a folder, by language: their names in it, in whatever form they are.

    Raises
    ------
    InputError
        When ``data_dir`` is not a folder, a file's name is nearly that of a language's, or one is there in two forms.
    """
    if not data_dir.is_dir():
        raise InputError(f"data_dir: {data_dir} is not a folder; give one in the layout of ldr_utils/data/files.py")
    found: dict[str, str] = {}
    for form in _forms(layout):
        before, _, after = form.partition("{lang}")
        place, within = data_dir / before.rpartition("/")[0], len(PurePosixPath(before + "x").parts) - 1
        check_names("data_dir", place, (PurePosixPath(form).parts[within].format(lang=lang) for lang in LANGUAGES))
        for path in sorted(data_dir.glob(f"{before}*{after}")):
            name = path.relative_to(data_dir).as_posix()
            lang = name.removeprefix(before).removesuffix(after)
            if lang in found:
                raise InputError(f"data_dir: {data_dir} has both {found[lang]} and {name}; keep one of them")
            found[lang] = name
    return found


def _forms(layout: str) -> list[str]:
    """Names that a file of the layout may have in a folder; its own is the first."""
    path = PurePosixPath(layout)
    if "{lang}" not in layout:
        return [layout]
    suffixes = [path.suffix, ".jsonl", ".json", ".parquet"]
    names = [path.with_suffix(suffix) for suffix in suffixes]
    if path.name.startswith("mgsm_"):
        names += [path.with_suffix(".tsv"), path.parent / "{lang}" / "test-00000-of-00001.parquet"]
    return list(dict.fromkeys(map(str, names)))


@dataclass(frozen=True)
class Row:
    """A row of a file; ``where`` names both."""

    values: Record
    where: str

    def key(self, *names: str) -> str:
        """The first of ``names`` that the row has a value of, the last where it has none."""
        return next((name for name in names if self.values.get(name) is not None), names[-1])

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{self.where}: {key}: is missing or holds no text; add it")
        if len(value) > LONGEST or "\0" in value:
            raise InputError(f"{self.where}: {key}: has a NUL or over {LONGEST:,} characters; repair it")
        return value

    def number(self, key: str) -> str:
        """A gold number in its shortest form: 18 for 18.0, "18.0", "$18" and "18 "."""
        value = self.values.get(key)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            number: Decimal | None = Decimal(str(value))
        else:
            number = parse_number(self.text(key), "en")
        if number is None or not number.is_finite():
            raise InputError(f"{self.where}: {key}: {str(value)[:60]!r} is not one number; correct it")
        digits = f"{number:f}"
        return (digits.rstrip("0").rstrip(".") if "." in digits else digits) if number else "0"


class Files:
    """Reads files of the layout, and keeps their digests."""

    def __init__(self, data_dir: Path | None, problem_prefix: str = "") -> None:
        self.data_dir, self.problem_prefix = data_dir, problem_prefix or PROBLEM_PREFIX
        self._digests: dict[tuple[str, str, str], dict[str, str]] = {}
        self._names: dict[str, dict[str, str]] = {}

    def sources(self) -> list[Source]:
        licences = {name: licence for name, (licence, _) in LICENCES.items()} | {OWN: "the user's own"}
        return [Source(key[0], licences[key[0]], *key[1:], digests) for key, digests in self._digests.items()]

    def name(self, layout: str, lang: str) -> str:
        """A file as refusals call it."""
        named = layout.format(lang=lang)
        if self.data_dir is None:
            return named
        if layout not in self._names:
            self._names[layout] = files_in(self.data_dir, layout)
        return str(self.data_dir / self._names[layout].get(lang, named))

    def rows(self, layout: str, lang: str = "") -> list[Row]:
        """The rows of a file of the layout."""
        name, (path, origin, revision) = self.name(layout, lang), self._locate(layout, lang)
        kept = name if self.data_dir is None else path.relative_to(self.data_dir).as_posix()
        return self._read(path, name, (layout.split("/")[0], origin, revision), kept, "add the file to data_dir")

    def own_rows(self, path: Path) -> list[Row]:
        """The rows of a file of prompts of the user's own."""
        return self._read(path, str(path), (OWN, "train_set", LOCAL), path.name, "give a file that can")

    def _read(self, path: Path, name: str, source: tuple[str, str, str], kept: str, remedy: str) -> list[Row]:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror}); {remedy}") from None
        values = parse_rows(content, path.suffix, name)
        self._digests.setdefault(source, {})[kept] = hashlib.sha256(content).hexdigest()
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
