"""Text that nobody vouches for, on its way to a person: marks that act on a screen become visible instead."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence

import pandas as pd

# Controls (ANSI escapes begin with one), what breaks lines or turns the direction of writing, and half characters.
MARKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""``text`` with every such mark spelled out (``\x1b``, ``\u202e``); line breaks and tabs stay."""
    return MARKS.sub(lambda mark: mark.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """``text`` for a terminal: marks spelled out, every run of blanks and line breaks one space."""
    return visible(" ".join(text.split()))


def terminal_width() -> int:
    """Columns that a line may fill: those of the terminal (or ``COLUMNS``), 120 at most and where there is none."""
    return min(120, shutil.get_terminal_size((120, 24)).columns)


def in_columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Rows of a word, a name and a detail for a terminal; a detail is wrapped, in its column where there is room."""
    widths, columns = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)], terminal_width()
    lines = []
    for word, name, detail in rows:
        start = f"{word:<{widths[0]}}  {name:<{widths[1]}}  "
        indent = " " * (len(start) if columns >= 80 else widths[0] + 2)
        wrapped = textwrap.wrap(detail, columns, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
        lines += wrapped or [start.rstrip()]
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
