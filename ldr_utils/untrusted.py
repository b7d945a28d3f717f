"""Text that nobody vouches for, on its way to a person: marks that act on a screen become visible instead."""

from __future__ import annotations

import re

# Controls (ANSI escapes begin with one), what breaks lines or turns the direction of writing, and half characters.
MARKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""``text`` with every such mark spelled out (``\x1b``, ``\u202e``); line breaks and tabs stay."""
    return MARKS.sub(lambda mark: mark.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """``text`` for a terminal: marks spelled out, every run of blanks and line breaks one space."""
    return visible(" ".join(text.split()))
