"""JSON Lines on disk: one record an example, written so that a crash never leaves half a file that looks whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ldr_utils.errors import InputError

Record = dict[str, Any]
DataSet = dict[str, list[Record]]  # by language


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` with ``text`` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def dumps(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, sort_keys=False)


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Replace ``path`` with one line a record, in one step."""
    write_text(path, "".join(dumps(record) + "\n" for record in records))


def append_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Append records and force them to disk; an unfinished last line, left by a crash, is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
    with path.open("ab") as file:
        file.truncate(whole)
        file.write("".join(dumps(record) + "\n" for record in records).encode())
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[Record]:
    """All records of ``path``.

    Raises
    ------
    InputError
        When the file is missing, not UTF-8, empty, or has a line that is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); re-save the file as UTF-8") from None
    records = [_parse(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not records:
        raise InputError(f"{path}: holds no records; remove it or fill it")
    return records


def read_finished_lines(path: Path) -> Iterator[Record]:
    """Records of a file that a crash may have cut: an unfinished last line is dropped, a missing file has none."""
    if not path.exists():
        return
    *finished, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(finished, 1):
        yield _parse(path, number, line)


def _parse(path: Path, number: int, line: str) -> Record:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {number} is not JSON ({error.msg}); repair or remove that line") from None
    if not isinstance(record, dict):
        raise InputError(f"{path}: line {number} is not a JSON object; repair or remove that line")
    return record
