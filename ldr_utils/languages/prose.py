"""What of an answer is language: its text without code, formulas, addresses, numbers and their units."""

from __future__ import annotations

import re
from functools import lru_cache

_START = r"(?<![A-Za-z\d])"  # of a word in Latin letters; one of Chinese may stand before it without a space
_NAME = r"[^\W\d_]++"
_OPERATOR = r"(?:[ ]\*[ ]|[=+^×÷≈≤≥])"
_NO_PROSE = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"(?s:```.*?(?:```|\Z))|`[^`\n]*`",  # code, also where the answer was cut off in it
        r"(?s:\$\$.*?\$\$|\\\[.*?\\\]|\\\(.*?\\\))",  # LaTeX
        r"\$(?=\S)[^$\n]*?(?<=\S)\$(?!\d)",  # ... within a line, told from two prices as pandoc does
        r"\\[A-Za-z]+\*?(?:\{[^{}\n]*\})*",
        r"<[^<>\n]{1,80}>",  # tags, and calculations as GSM8K marks them
        rf"{_START}(?:[a-z]++://|www\.|[A-Za-z\d.+-]++@)[!-~]+",  # addresses
        r"(?<![!-~])(?:[\w~.-]*+[/\\]){2,}[\w.-]*",  # paths
        rf"{_START}[A-Za-z\d-]++\.[a-z]{{2,4}}(?![.\w])",  # hosts and files
        r"^\s*(?:import \w|from \w+ import |#!|#include|//|(?:pip|git|npm|sudo|conda|docker) ).*$",  # lines of code
        r"^\s*return [\w.\[\]]+;?\s*$",
        r"^(?=.*[(){}\[\]=]).*[;{}]\s*$",
        r"^\s*(?:def|class|for|while|if|elif|return|print|function|const|let|var|public|SELECT)\b(?:.*[(=].*|.*:\s*)$",
        rf"{_START}(?:[A-Za-z_.]++\([!-~]*|[A-Za-z\d]*+_\w*|[a-z]++[A-Z]\w*)",  # calls and names of a program
        r"^\s*[*+-]\s",  # a bullet is no operator
        rf"\b{_NAME}[ ]?{_OPERATOR}|{_OPERATOR}[ ]?{_NAME}(?!\S)",  # terms of a formula
        # numbers and their units
        rf"{_START}[A-Za-z°%€$£]*+\d(?:[A-Za-z\d.,:%°²³€$£-]*[A-Za-z\d%°²³€$£])?(?:\s[A-Za-z]{{1,3}}\b)?",
    )
)
_SENTENCE_END = re.compile(r"\n|(?<=[.!?…])\s|(?<=[。！？।॥])")


@lru_cache(maxsize=64)  # every measure of an answer asks
def prose(text: str) -> str:
    """``text`` without what is no language: code, LaTeX, tags, addresses, terms of a formula, numbers, units."""
    for pattern in _NO_PROSE:
        text = pattern.sub(" ", text)
    return text


def sentences(text: str) -> list[str]:
    """The sentences of a text, in any script; a line ends one too."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
