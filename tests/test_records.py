"""JSON Lines: what survives a round trip, a crash and a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import append_jsonl, read_finished_lines, read_jsonl, write_jsonl, write_text

AWKWARD = [{"text": "line\u2028paragraph\u2029next\u0085end\x0b\x0c\x1c\r\n\ttab"}, {"text": "\u0e44\u0e17\u0e22 ёœß"}]


def test_unicode_line_separators_do_not_end_a_record(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_jsonl(path, AWKWARD)
    assert read_jsonl(path) == AWKWARD
    assert list(read_finished_lines(path)) == AWKWARD
    assert "ไทย ёœß" in path.read_text(encoding="utf-8"), "records must be readable by a person"


@settings(deadline=None)  # a slow disk is no failure
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=3), min_size=1))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str | int | None]]) -> None:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    write_jsonl(path, records)
    assert read_jsonl(path) == records == list(read_finished_lines(path))


def test_write_replaces_in_one_step_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "records.jsonl"
    write_jsonl(path, [{"a": 1}])
    write_jsonl(path, [{"a": 2}])
    assert read_jsonl(path) == [{"a": 2}]
    assert [p.name for p in path.parent.iterdir()] == ["records.jsonl"]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"


def test_failing_source_of_records_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with pytest.raises(TypeError):
        write_jsonl(path, [{"a": 1}, {"a": object()}])
    assert not path.exists()


def test_append_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "records.jsonl"
    append_jsonl(path, [{"a": 1}])
    append_jsonl(path, [{"a": 2}, {"a": 3}])
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize("cut", range(1, 14))
def test_unfinished_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    """The last record is cut after every byte, also inside the two bytes of a letter."""
    path = tmp_path / "records.jsonl"
    whole = b'{"a": 1}\n'
    last = '{"b": "ёж"}\n'.encode()
    path.write_bytes(whole + last[:cut])
    assert cut < len(last)
    assert list(read_finished_lines(path)) == [{"a": 1}]


def test_append_after_a_crash_does_not_glue_records_together(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"a": 1}\n{"a": 2, "te')
    append_jsonl(path, [{"a": 3}, {"a": 4}])
    assert list(read_finished_lines(path)) == [{"a": 1}, {"a": 3}, {"a": 4}]


def test_missing_file_has_no_finished_lines(tmp_path: Path) -> None:
    assert list(read_finished_lines(tmp_path / "none.jsonl")) == []


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"a": 1}\n{"a": \n', "line 2 "),
        (b'\n{"a": 1}\n[1]\n', "line 3 "),
        (b'{"a": 1}\n"text"', "line 2 "),
        (b"", "no records"),
        (b"\n \n", "no records"),
        (b'{"a": "\xff"}\n', "UTF-8"),
    ],
)
def test_broken_file_is_one_line_that_says_where(tmp_path: Path, content: bytes, where: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_jsonl(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert where in message
    assert "\n" not in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        read_jsonl(tmp_path / "none.jsonl")


def test_broken_finished_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_text('{"a": 1}\nnonsense\n{"a": 2')
    with pytest.raises(InputError, match=r"cut\.jsonl: line 2 "):
        list(read_finished_lines(path))


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "blank.jsonl"
    path.write_bytes(b'\r\n{"a": 1}\r\n\r\n{"a": 2}')
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}]
