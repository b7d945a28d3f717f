"""Properties over anything a file may hold; more of the parsers of completions stand in their own tests."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ldr_utils.languages.numbers import extract, parse_number
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.languages.thoughts import THOUGHTS
from ldr_utils.languages.thoughts import said as outside_thoughts
from ldr_utils.method.translation import parse_translation
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import dumps, read_jsonl
from ldr_utils.study.params import PER_RUN, StudyParams, load_params

ROWS = [{"id": f"prompt-{k}", "text": "Größe \u0e44\u0e17\u0e22 1e5", "n": [k, None, {"a": -1.5}]} for k in range(3)]
BYTES = "".join(dumps(row) + "\n" for row in ROWS).encode()
LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def check_line(path: Path, error: InputError) -> None:
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


def read_back(path: Path, content: bytes) -> list[Any] | None:
    """What is read from ``content``; None where it is refused, in one line that names the file."""
    path.write_bytes(content)
    try:
        return read_jsonl(path)
    except InputError as error:
        check_line(path, error)
        return None


@LENIENT
@given(at=st.integers(0, len(BYTES) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_is_refused_or_stays_one_byte_of_text(tmp_path: Path, at: int, byte: int) -> None:
    """A letter that became another letter is JSON still; only a manifest's checksum can tell."""
    rows = read_back(tmp_path / "rows.jsonl", BYTES[:at] + bytes([byte]) + BYTES[at + 1 :])
    if rows is not None:
        assert len(rows) == len(ROWS)
        assert sum(own == row for own, row in zip(rows, ROWS, strict=True)) >= len(ROWS) - 1


@LENIENT
@given(at=st.integers(0, len(BYTES)))
def test_a_file_cut_anywhere_is_refused_or_ends_with_a_whole_row(tmp_path: Path, at: int) -> None:
    rows = read_back(tmp_path / "rows.jsonl", BYTES[:at])
    if rows is not None:
        assert rows == ROWS[: len(rows)]


@LENIENT
@given(content=st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ue+-.0129 \n', max_size=200).map(str.encode))
@example(content=b"[" * 100_000)
@example(content=b'{"a": ' + b"9" * 5000 + b"}")
@example(content=b'{"a": "\\ud800"}')
@example(content=b'\xef\xbb\xbf{"a": 1}')
def test_any_bytes_are_refused_or_rows(tmp_path: Path, content: bytes) -> None:
    rows = read_back(tmp_path / "rows.jsonl", content)
    assert rows is None or all(isinstance(row, dict) and json.loads(dumps(row).encode()) is not None for row in rows)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.dates()
    | st.binary(max_size=10)
    | st.lists(st.text(max_size=5) | st.integers(), max_size=4)
)


def parsed(path: Path, text: str) -> StudyParams | None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        return load_params(path)
    except InputError as error:
        check_line(path, error)
        return None


@LENIENT
@given(key=st.sampled_from(sorted(StudyParams.model_fields)), value=SCALARS)
def test_any_value_of_any_key_is_valid_or_refused(tmp_path: Path, key: str, value: Any) -> None:
    params = parsed(tmp_path / "params.yaml", yaml.safe_dump({key: value}))
    if params is not None:  # what is valid can be written into a run folder, and is the same when it is read from there
        text = yaml.safe_dump(params.model_dump(exclude=PER_RUN), allow_unicode=True)
        assert parsed(tmp_path / "params.yaml", text) == params


@LENIENT
@given(key=st.sampled_from(sorted(StudyParams.model_fields)), text=st.text(max_size=60))
@example(key="beta", text="!!bool x")
@example(key="study", text="2026-02-31")
@example(key="seed", text="0b_")
@example(key="arms", text="[" * 3000)
def test_any_text_for_any_key_is_valid_or_refused(tmp_path: Path, key: str, text: str) -> None:
    parsed(tmp_path / "params.yaml", f"{key}: {text}\n")


@LENIENT
@given(text=st.text(), lang=st.sampled_from(sorted(LANGUAGES)))
def test_any_completion_is_parsed(text: str, lang: str) -> None:
    """Of a text without a digit no number is made, of a reply without its closing tag no translation."""
    found = extract(text, lang)
    if not any(letter.isnumeric() for letter in text):
        assert found.value is None
    assert parse_number(text, lang) is None or found.last is not None
    translation = parse_translation(text)
    assert (translation.text is None) != (translation.error is None)
    if "</translated>" not in text:
        assert translation.error == "no_closing_tag"


UNMARKED = st.text().filter(lambda text: outside_thoughts(text) == (text, False))


@st.composite
def stated(draw: st.DrawFn) -> tuple[str, str, int]:
    """A language, an answer phrase that counts in it, and a number."""
    lang = draw(st.sampled_from(sorted(LANGUAGES)))
    phrases = (*LANGUAGES[lang].answer_phrases, *LANGUAGES["en"].answer_phrases)
    return lang, draw(st.sampled_from(phrases)), draw(st.integers(0, 10**7))


@LENIENT
@given(answer=stated(), after=UNMARKED, heading=st.integers(0, 20), numbered=st.booleans())
def test_whatever_comes_in_a_next_turn_the_first_one_decides(
    answer: tuple[str, str, int], after: str, heading: int, numbered: bool
) -> None:
    lang, phrase, number = answer
    headings = (*LANGUAGES[lang].question_headings, *LANGUAGES["en"].question_headings, "User", "Human")
    opened = headings[heading % len(headings)] + (" 2:" if numbered else ":")
    assert extract(f"{phrase} {number}\n\n{opened} {after}\n{phrase} 5", lang).phrase == number


@LENIENT
@given(answer=stated(), thought=UNMARKED, marks=st.sampled_from(THOUGHTS))
def test_whatever_is_thought_the_answer_decides(
    answer: tuple[str, str, int], thought: str, marks: tuple[str, str]
) -> None:
    lang, phrase, number = answer
    opens, closes = marks
    assert extract(f"{opens}{thought}{closes}{phrase} {number}", lang).phrase == number
    assert extract(f"{thought}{closes}{phrase} {number}", lang).phrase == number, "the prompt had opened it"
    assert extract(f"{opens}{thought}{phrase} {number}", lang).value is None


@LENIENT
@given(answer=stated(), end=st.integers(0, 10**6), minute=st.integers(0, 59), mark=st.sampled_from("–-~"))
def test_neither_a_range_nor_a_time_is_an_answer(
    answer: tuple[str, str, int], end: int, minute: int, mark: str
) -> None:
    lang, phrase, number = answer
    for said in (f"{number}{mark}{end}", f"${number}{mark}${end}", f"{number % 24}:{minute:02}"):
        assert extract(f"7. {phrase} {said}", lang).value is None, said


@LENIENT
@given(answer=stated(), word=st.integers(0, 50), decimals=st.booleans())
def test_a_number_with_a_magnitude_is_read_whole(answer: tuple[str, str, int], word: int, decimals: bool) -> None:
    lang, phrase, number = answer
    language = LANGUAGES[lang]
    name, power = language.magnitudes[word % len(language.magnitudes)] if lang != "en" else ("million", 10**6)
    digits = f"{number}{',' if language.decimal_comma else '.'}5" if decimals else f"{number}"
    said = f"{name} {digits}" if language.units_first else f"{digits} {name}"
    if power > 1:
        assert extract(f"{phrase} {said}\n7", lang).phrase == (number + Decimal(decimals) / 2) * power


def test_a_damaged_file_is_really_refused(tmp_path: Path) -> None:
    """The properties above would hold for a reader that refuses, or takes, everything."""
    path = tmp_path / "rows.jsonl"
    assert read_back(path, BYTES) == ROWS
    assert read_back(path, BYTES[:-5]) is None
