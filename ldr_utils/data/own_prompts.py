"""Training prompts of the user's own, from a folder (``train_set: FOLDER``).

Either one file a language (``en.jsonl``, ``pt.jsonl``, ...), whose rows belong together by ``id`` in any order, or one
file for all with a column a language (``prompts.csv``: id, en, pt; without ``id`` a row's number is taken). JSON Lines,
JSON, CSV with a header, or parquet. In a file a language, the text is ``prompt``, ``instruction``, ``question`` or
``query``. Numbers under ``gold``, ``final_answer`` or ``answer`` make word problems of them. The dominant language says
which prompts there are and in which order; the iterations take them in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from ldr_utils.data.alignment import identity, in_turn, problem_of, record_of, with_problems
from ldr_utils.data.files import Files, Row
from ldr_utils.data.formats import TABLES, parse_rows
from ldr_utils.languages.table import CODE, LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import check_names
from ldr_utils.study.records import DataSet, Prompt

TEXTS = ("prompt", "instruction", "question", "query")
GOLDS = ("gold", "final_answer", "answer")


def languages_in(folder: Path, languages: Sequence[str]) -> list[str]:
    """Those of ``languages`` that the folder has prompts in; of the rows, their columns alone are looked at.

    Raises
    ------
    InputError
        When the folder holds no prompts or several tables, or a name there is nearly that of a language.
    """
    files = _files(folder, languages)
    if files:
        return [lang for lang in languages if lang in files]
    table = _table(folder)
    try:
        columns = _columns_at(table, table.stat().st_mtime_ns, table.stat().st_size)
    except OSError as error:
        raise InputError(f"train_set: {table} cannot be read ({error.strerror}); give a folder that can") from None
    names = {language.name: lang for lang, language in LANGUAGES.items()}
    _check_spelling(columns, {"id": "id"} | {key: key for key in (*GOLDS, *LANGUAGES)} | names, str(table))
    return [lang for lang in languages if lang in columns and lang != "id"]


def draw(
    folder: Path, dominant: str, files: Files, languages: Sequence[str], iterations: int, limit: int
) -> list[DataSet]:
    """Read the sets of the iterations.

    Raises
    ------
    InputError
        As `languages_in`; when a row lacks its text, its id or its partner, an id is there twice, a gold is no number
        or not that of the other languages, or there are too few rows.
    """
    paths = _files(folder, languages) or dict.fromkeys(languages, _table(folder))
    by_id = {lang: _records(files.own_rows(paths[lang]), lang, paths[lang], files.problem_prefix) for lang in languages}
    for lang, records in by_id.items():
        for example, record in by_id[dominant].items():
            if identity(records.get(example)) != identity(record):
                there = f"{identity(records.get(example))}, but {paths[dominant].name} has {identity(record)}"
                raise InputError(f"{paths[lang]}: id {example}: {there}; complete or correct it, or remove it there")
    sets = {lang: [records[example] for example in by_id[dominant]] for lang, records in by_id.items()}
    return in_turn(with_problems(sets), str(paths[dominant]), iterations, limit)


def _files(folder: Path, languages: Sequence[str]) -> dict[str, Path]:
    """The files that hold a language each; none where one table holds them all."""
    check_names("train_set", folder, (lang + suffix for lang in LANGUAGES for suffix in TABLES))
    found: dict[str, Path] = {}
    tables = _tables(folder)
    if not any(path.stem in languages for path in tables):
        return {}
    for path in tables:
        if not CODE.fullmatch(path.stem):
            raise InputError(f"train_set: {path} is none of a language's files; call it by its code, or move it away")
        if path.stem in found:
            raise InputError(f"train_set: {folder} has both {found[path.stem].name} and {path.name}; keep one of them")
        found[path.stem] = path
    return found


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.suffix in TABLES)


def _table(folder: Path) -> Path:
    """The one file for all languages."""
    tables = _tables(folder)
    if len(tables) != 1:
        held = f"holds {' and '.join(path.name for path in tables[:2])}" if tables else "holds no prompts"
        how = "give one file a language (en.jsonl), or a single one with a column a language (prompts.csv)"
        raise InputError(f"train_set: {folder} {held}; {how}")
    return tables[0]


@lru_cache(maxsize=8)
def _columns_at(table: Path, changed: int, size: int) -> frozenset[str]:
    """Names of a table's columns, read once as long as it does not change: estimates ask often."""
    return frozenset(_columns(parse_rows(table.read_bytes(), table.suffix, str(table)), str(table)))


def _columns(rows: Iterable[object], name: str) -> set[str]:
    columns: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{name}: row {number}: is no row with names for its columns; correct it")
        columns |= row.keys()
    return columns


def _check_spelling(columns: Iterable[str], known: dict[str, str], name: str) -> None:
    """Refuse a column that is one of ``known`` but for capitals and blanks: it would be passed over in silence."""
    by_sight = {key.casefold(): right for key, right in known.items()}
    for column in sorted(columns):
        right = by_sight.get("".join(column.split()).casefold(), column)
        if right != column:
            raise InputError(f"{name}: the column {column[:60]!r} would be passed over; rename it to {right}")


def _records(rows: list[Row], lang: str, path: Path, prefix: str) -> dict[str, Prompt]:
    """The records of one language, by id."""
    columns = _columns([row.values for row in rows], str(path))
    text = lang if path.stem != lang else _text_column(rows, columns, path)
    gold = _gold_column(rows, columns)
    found: dict[str, Prompt] = {}
    for number, row in enumerate(rows, 1):
        example = str(number) if text == lang and "id" not in columns else _id(row)
        if example in found:
            raise InputError(f"{row.where}: id: {example} is there twice; remove one")
        if gold:
            found[example] = problem_of(example, lang, "own", row.text(text), row.number(gold), prefix)
        else:
            found[example] = record_of(example, lang, "own", row.text(text))
    return found


def _text_column(rows: list[Row], columns: set[str], path: Path) -> str:
    _check_spelling(columns, {key: key for key in ("id", *TEXTS, *GOLDS)}, str(path))
    found = [key for key in TEXTS if key in columns]
    if len(found) != 1:
        has = f"has {found[0]} and {found[1]}" if found else f"has none of {', '.join(TEXTS)}"
        raise InputError(f"{path}: {has}; call the text of the prompts by one of these names")
    if row := next((row for row in rows if row.values.get("input")), None):  # Alpaca's second half of a prompt
        raise InputError(f"{row.where}: input: would be left out; write it into {found[0]}")
    return found[0]


def _gold_column(rows: list[Row], columns: set[str]) -> str | None:
    """The column of gold numbers, if there is one; answers that are texts are none."""
    gold = next((key for key in GOLDS if key in columns), None)
    if gold == "answer" and not any(_holds_a_number(row, gold) for row in rows):
        return None
    return gold


def _holds_a_number(row: Row, key: str) -> bool:
    try:
        row.number(key)
    except InputError:
        return False
    return True


def _id(row: Row) -> str:
    value = row.values.get("id")
    if isinstance(value, float) and value.is_integer():  # a column with a gap, from parquet
        value = int(value)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text or not text.isprintable() or len(text) > 200:
        raise InputError(f"{row.where}: id: is missing or no short text or whole number; correct it")
    return text
