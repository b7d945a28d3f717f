"""JSON Lines on disk: one record an example, written so that a crash never leaves half a file that looks whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, overload

from ldr_utils.study.errors import InputError
from ldr_utils.study.records import Record, T

LONGEST = 2**22  # characters of a text or of a record: far more than any model reads


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` with ``text`` in one step; a write that fails (a full disk) leaves the old file alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def force(path: Path) -> None:
    """Have a finished file on the disk: without it, a power cut can leave the name and lose the content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def dumps(record: Mapping[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, sort_keys=False)


def write_jsonl(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Replace ``path`` with one line a record, in one step."""
    write_text(path, "".join(dumps(record) + "\n" for record in records))


def append_jsonl(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Append records and force them to disk; an unfinished last line, left by a crash, is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
    with path.open("ab") as file:
        file.truncate(whole)
        file.write("".join(dumps(record) + "\n" for record in records).encode())
        file.flush()
        os.fsync(file.fileno())


@overload
def read_jsonl(path: Path) -> list[Record]: ...


@overload
def read_jsonl(path: Path, kind: type[T]) -> list[T]: ...


def read_jsonl(path: Path, kind: type[Any] = dict) -> list[Any]:
    """All records of ``path``.

    Parameters
    ----------
    path : Path
        JSON Lines file.
    kind : type, optional
        The kind of its records, such as ``Pair``. Nothing is checked: the stage that wrote the file vouches for it.

    Raises
    ------
    InputError
        When the file cannot be read, is not UTF-8, is empty, or has a line that is not a JSON object or over long.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); re-save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that can") from None
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
    if len(line) > LONGEST:
        raise InputError(f"{path}: line {number} has more than {LONGEST:,} characters; split or remove it")
    record = parse_json(line, str(path), number)
    if not isinstance(record, dict):
        raise InputError(f"{path}: line {number} is not a JSON object; repair or remove that line")
    return record


def parse_json(text: str, name: str, line: int = 1) -> Any:
    """JSON from a file that may hold anything.

    Parameters
    ----------
    text : str
        The whole file, or one line of it.
    name : str
        The file.
    line : int
        Number of the first line of ``text`` in the file.

    Raises
    ------
    InputError
        When it is not JSON, or has what Python cannot hold or write as text again.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:  # half a character can be spelled, but not written
            dumps(value).encode()
        return value
    except json.JSONDecodeError as error:
        line, what = line + error.lineno - 1, f"is not JSON ({error.msg})"
    except UnicodeEncodeError:
        what = "has half of a surrogate pair"
    except RecursionError:
        what = "is nested too deep"
    except ValueError:
        what = "has an integer of too many digits"
    raise InputError(f"{name}: line {line} {what}; repair or remove that line")
