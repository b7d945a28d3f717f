"""Rows of a file in the forms that data are published and kept in: JSON, JSON Lines, TSV, CSV, parquet."""

from __future__ import annotations

import csv
import io
from typing import Any

from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import LONGEST, parse_json

TABLES = (".jsonl", ".json", ".csv", ".parquet")  # whose rows have names for what they hold


def parse_rows(content: bytes, suffix: str, name: str) -> list[Any]:
    """The rows of a file, mostly objects.

    Parameters
    ----------
    content : bytes
        The file; text is UTF-8, a byte order mark may open it.
    suffix : str
        ``.jsonl`` (an object a line), ``.json`` (a list), ``.tsv`` (MGSM's: query and response, no header), ``.csv``
        (with a header; separated by commas, semicolons or tabs) or ``.parquet``.
    name : str
        The file, in a refusal.

    Raises
    ------
    InputError
        When it cannot be read as what its name says, or holds no rows.
    """
    if suffix == ".parquet":
        rows = _parquet(content, name)
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: not UTF-8 text (byte {error.start}); re-save the file as UTF-8") from None
        rows = _csv(text, name) if suffix == ".csv" else _lines(text, suffix, name)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{name}: holds no list of rows; fill it")
    return rows


def _lines(text: str, suffix: str, name: str) -> Any:
    if suffix == ".json":
        return parse_json(text, name)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if suffix == ".tsv":
        return [_tsv(line.removesuffix("\r")) for _, line in lines]
    return [parse_json(line, name, number) for number, line in lines]


def _tsv(line: str) -> dict[str, str]:
    """A question and its number. Spreadsheets put cells in quotes and double those inside; a question may have some."""
    cells = [
        cell[1:-1].replace('""', '"')
        if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
        else cell
        for cell in line.split("\t")
    ]
    return dict(zip(("query", "response"), cells, strict=False))


def _csv(text: str, name: str) -> list[Any]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    csv.field_size_limit(LONGEST + 1)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = list(reader.fieldnames or [])
        if twice := next((key for key in header if header.count(key) > 1), None):
            raise InputError(f"{name}: two columns are called {twice!r}; rename or remove one")
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{name}: is not CSV near line {reader.line_num + 1} ({error}); repair it") from None
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InputError(f"{name}: row {number}: has more columns than the header; put its texts in double quotes")
    return list(rows)


def _parquet(content: bytes, name: str) -> list[Any]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        rows: list[Any] = parquet.read_table(arrow.BufferReader(content)).to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{name}: cannot be read as parquet ({why}); get the file again") from None
    return rows
