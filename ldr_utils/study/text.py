"""Text that nobody vouches for, on its way to a person: marks that act on a screen become visible instead."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import TextIO

import pandas as pd
import wcwidth

# Controls (ANSI escapes begin with one), what breaks lines or turns the direction of writing, and half characters.
MARKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_R = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"  # Hebrew, Arabic and others
RIGHT_TO_LEFT = re.compile(rf"[{_R}](?:[^A-Za-z:;/\n]*[{_R}])?")  # up to what our own words and paths are joined by


def visible(text: str) -> str:
    r"""``text`` with every such mark spelled out (``\x1b``, ``\u202e``); line breaks and tabs stay."""
    return MARKS.sub(lambda mark: mark.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """``text`` for a terminal: marks spelled out, every run of blanks and line breaks one space."""
    return visible(" ".join(text.split()))


def terminal_width() -> int:
    """Columns that a line may fill: those of the terminal (or ``COLUMNS``), 120 at most and where there is none."""
    return min(120, shutil.get_terminal_size((120, 24)).columns)


def wrap(text: str, columns: int, start: str = "", indent: str = "") -> list[str]:
    """Lines of at most ``columns`` cells: a wide character (Chinese, Japanese, Korean) fills two, a mark above none."""
    return wcwidth.wrap(
        text, columns, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False, propagate_sgr=False
    )


def for_terminal(text: str, stream: TextIO) -> str:
    """``text`` as ``stream`` should get it: a terminal must not turn what stands beside right-to-left words.

    Each run of such words is set apart by marks that are not seen (FSI, PDI). A file or pipe gets the text as it is,
    and so does a terminal that has no such marks.
    """
    if not stream.isatty() or "utf" not in stream.encoding.lower():
        return text
    return RIGHT_TO_LEFT.sub("\u2068\\g<0>\u2069", text)


def in_columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Rows of a word, a name and a detail for a terminal; a detail is wrapped, in its column where there is room."""
    widths = [max((wcwidth.width(row[k]) for row in rows), default=0) for k in (0, 1)]
    columns = terminal_width()
    lines = []
    for word, name, detail in rows:
        start = f"{wcwidth.ljust(word, widths[0])}  {wcwidth.ljust(name, widths[1])}  "
        indent = " " * (wcwidth.width(start) if columns >= 80 else widths[0] + 2)
        lines += wrap(detail, columns, start, indent) or [start.rstrip()]
    return lines


def markdown(table: pd.DataFrame, digits: int = 1) -> str:
    """A table as GitHub markdown; numbers rounded, missing ones left empty."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.{digits}f}"
        return str(value)

    head = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in table.itertuples(index=False, name=None)]
    return "\n".join(lines)
