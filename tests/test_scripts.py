"""Every script on its way to a person: figures, pages and the terminal."""

from __future__ import annotations

import io
import pty
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
import wcwidth
from matplotlib import pyplot as plt
from packaging.requirements import Requirement
from test_hostile_text import notebook, table_output

from ldr_utils.commands import chat, doctor, site
from ldr_utils.languages.table import BUILT_IN
from ldr_utils.report import figures, fonts
from ldr_utils.study import text
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import ROOT

OTHERS = {"el": "Η απάντηση", "he": "התשובה היא", "hi": "उत्तर स्त्री क्षेत्र", "fa": "پاسخ ۱۸", "uk": "Відповідь"}
LABELS = {lang: language.answer_phrases[0] for lang, language in BUILT_IN.items()} | OTHERS
LACKING = fonts.missing("".join(LABELS.values()))
needs_fonts = pytest.mark.skipif(bool(LACKING), reason=f"no font here for {', '.join(LACKING)}: {fonts.REMEDY}")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with matplotlib.rc_context(), warnings.catch_warnings():
        yield
    plt.close("all")


def drawn(path: Path, labels: list[str]) -> list[str]:
    """What matplotlib warns of while it draws a figure with these labels."""
    figures.use_style()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figures.save_figure(figures.attrition(dict.fromkeys(labels, 10), labels[0]), path)
    return [str(warning.message) for warning in caught if "Glyph" in str(warning.message)]


@needs_fonts
def test_a_figure_has_the_letters_of_every_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(tmp_path / "figure.png", list(LABELS.values())) == []
    assert capsys.readouterr().out == ""


@needs_fonts
@pytest.mark.parametrize(("joined", "apart"), [("ببب", "ب"), ("ক্ষ", "ক"), ("क्ष", "क"), ("న్న", "న")])
def test_letters_are_joined_as_they_are_read(joined: str, apart: str) -> None:
    """As many letters side by side would be wider: these join (Arabic) or make one (Bengali, Devanagari, Telugu)."""
    figures.use_style()
    figure = plt.figure()
    letters = sum(character.isalpha() for character in joined)
    together, alone = (figure.text(0, 0, own, fontsize=40).get_window_extent().width for own in (joined, apart))
    assert together < 0.95 * letters * alone


def test_without_fonts_a_figure_is_drawn_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fonts, "families", lambda: ["DejaVu Sans"])
    for kept in (fonts._characters, figures._say_what_is_missing):
        kept.cache_clear()
    drawn(tmp_path / "latin.png", ["The answer is", "Ответ", "الجواب"])
    assert capsys.readouterr().out == ""
    for name in ("first.png", "second.png"):
        assert drawn(tmp_path / name, list(LABELS.values())), "the boxes that the line tells of"
        assert (tmp_path / name).stat().st_size > 0
    (said,) = capsys.readouterr().out.splitlines()
    assert "Bengali, Devanagari, Han, Hangul, Hiragana, Telugu, Thai: pip install manimgx-fonts" in said
    check = doctor.check_fonts(StudyParams(languages=["en", "bn", "zh"], unseen=["th", "ru"]))
    assert check.verdict == "warn"
    assert "letters of Bengali, Han, Thai" in check.detail
    fonts._characters.cache_clear()


def test_the_fonts_are_those_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["fonts"]
    assert [Requirement(line).name for line in extra] == list(fonts.PACKAGES)


def test_a_page_keeps_language_and_direction_of_every_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"lang": lang, "response": (label, lang)} for lang, label in {**LABELS, "pt_BR": "A resposta é"}.items()]
    table = table_output(rows, monkeypatch)
    site.render(notebook(tmp_path / "own.ipynb", table, ["said"]), tmp_path / "own.html")
    page = (tmp_path / "own.html").read_text(encoding="utf-8")
    for lang, label in LABELS.items():
        cell = page[: page.index(f">{label}</td>")].rpartition("<td")[2]
        assert f'lang="{lang}"' in cell
        assert 'dir="auto"' in cell
        assert "text-align:start;unicode-bidi:plaintext" in cell
    assert 'lang="pt-BR"' in page
    assert "'Noto Sans Bengali'" in page.partition("</head>")[0]


@pytest.mark.parametrize("columns", [40, 80])
def test_columns_are_counted_in_cells(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["plain", "日本語の名前", "ก็ที่นี่"]
    lines = text.in_columns([("ok", name, f"detail {'答案是十八 คำตอบสุดท้าย ' * 4}") for name in names])
    assert max(map(wcwidth.width, lines)) <= columns
    starts = [line.partition("detail")[0] for line in lines if "detail" in line]
    assert len(starts) == 3
    assert len({wcwidth.width(start) for start in starts}) == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a/ملف: 3 rows", "a/\u2068ملف\u2069: 3 rows"),
        ("هناك 18 بيضة, said M1", "\u2068هناك 18 بيضة\u2069, said M1"),
        ("Ответ 答案 3", "Ответ 答案 3"),
    ],
)
def test_words_from_right_to_left_do_not_turn_a_line_of_ours(said: str, shown: str) -> None:
    """On a terminal; a pipe gets the text alone, and so does a terminal that has no such marks."""
    ends = pty.openpty()
    with open(ends[0], "rb"), open(ends[1], "w", encoding="utf-8") as terminal:
        assert text.for_terminal(said, terminal) == shown
        terminal.reconfigure(encoding="ascii")
        assert text.for_terminal(said, terminal) == said
    assert text.for_terminal(said, io.StringIO()) == said


def test_a_question_is_utf8_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = io.BytesIO("كم 3 + 4؟\n\n答案\n".encode() + b"caf\xe9\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="ascii"))
    questions = chat._questions()
    assert [next(questions), next(questions)] == ["كم 3 + 4؟", "答案"]
    with pytest.raises(InputError, match="not UTF-8"):
        next(questions)
