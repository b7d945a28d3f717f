"""Letters of every script, for figures and pages: the fonts to ask for, and what this machine lacks of them."""

from __future__ import annotations

import importlib.util
import logging
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font

# The scripts of FLORES-200 that DejaVu Sans lacks or has without all joined forms. CJK SC has all of Chinese, Japanese
# and Korean; its four sisters differ in the forms that they prefer.
SCRIPTS = (
    *("Arabic", "Armenian", "Bengali", "Devanagari", "Ethiopic", "Georgian", "Gujarati", "Gurmukhi", "Hebrew"),
    *("Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Ol Chiki", "Oriya", "Sinhala", "Tamil", "Telugu", "Thai"),
    "CJK SC",
)
NOTO = ("Noto Sans", *(f"Noto Sans {name}" for name in SCRIPTS), "Noto Serif Tibetan")
PACKAGES = ("manimgx-fonts", "noto-cjk-sans-otc")  # the extra fonts (pyproject.toml): files beside an empty module
STACK = ", ".join(["system-ui", *(f"'{name}'" for name in NOTO), "sans-serif"])  # for a page, without the network
REMEDY = f"pip install {' '.join(PACKAGES)}, or Debian's fonts-noto-core and fonts-noto-cjk"


@cache
def families() -> list[str]:
    """DejaVu Sans, which matplotlib brings, and what this machine and environment have of `NOTO`.

    A figure takes each letter from the first that has it. The machine is asked itself: what matplotlib remembers of it
    may be older than its fonts.
    """
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns of every family without a bold font
    known = {entry.fname for entry in fontManager.ttflist}
    for path in {*findSystemFonts(), *_packaged()} - known:
        if Path(path).name.startswith("Noto"):
            fontManager.addfont(path)
    here = {entry.name for entry in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in NOTO if name in here)]


def _packaged() -> Iterable[str]:
    """Files of those of `PACKAGES` that are installed."""
    for name in PACKAGES:
        found = importlib.util.find_spec(name.replace("-", "_"))
        for folder in (found and found.submodule_search_locations) or ():
            yield from map(str, Path(folder).iterdir())


@cache
def _characters() -> frozenset[int]:
    """Every code point that a figure can show here."""
    files = [findfont(FontProperties(family=name)) for name in families()]
    return frozenset().union(*(get_font(file).get_charmap() for file in files))


def missing(text: str) -> list[str]:
    """Scripts of which ``text`` has letters that no font here has, such as Bengali or Thai; mostly none."""
    letters = (character for character in set(text) if unicodedata.category(character)[0] in "LM")
    return sorted({script(letter) for letter in letters if ord(letter) not in _characters()})


def script(letter: str) -> str:
    """What the name of a letter in Unicode begins with."""
    word = unicodedata.name(letter).replace("-", " ").split()[0]
    return "Han" if word == "CJK" else word.title()
