"""Read the numbers of a text: one spelling for all digits, separators and signs, then every number in order.

How an ambiguous number is read (the language only matters where said):

* ``1,234``: a comma before exactly three digits groups thousands in every language, also in de/es/fr/it/ru, because
  models copy the English style of the MGSM questions there. ``0,125`` and ``1234,567`` cannot be groups: decimals.
* ``1.234``: 1234 in the decimal-comma languages, 1.234 in all others. ``18.00``, ``18,00``: 18 everywhere.
* ``1 234``: one number in the decimal-comma languages, and where the caller says so; elsewhere only with a
  non-breaking, thin or figure space.
* ``1万8千``, ``2,5 Millionen``, ``18 тысяч 500``, ``elfu 18``: whole, by the language's magnitudes and the English.
* ``1/2``, ``1 1/2``: one number. ``x^2``: no number.
* ``3:30``, ``3時30分``, ``12.05.2020``, ``1,2,3``, ``1万八千``, ``mil 800``: no rule could tell which number that is.
* ``-5`` is negative unless the hyphen joins (``12-18``, ``A-5``, ``20 - 2``) or leads a list item (``- 5 apples``).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from ldr_utils.languages.magnitudes import UNREADABLE, magnitudes_of, spell
from ldr_utils.languages.table import Language

CURRENCY = "$€£¥₹৳฿₩₽"

_FOLD: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff\ue000")),
    # The full-width comma stays: it mostly separates clauses.
    **{wide: unicodedata.normalize("NFKC", chr(wide)) for wide in range(0xFF01, 0xFF5F) if wide != 0xFF0C},
    **dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2013\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u2007\u2009\u202f"), "\u00a0"),
    **dict.fromkeys(map(ord, "\u2019\u02bc\u066c"), "'"),
    0x301C: "~",
}
_LATEX = (
    ("{,}", ","),
    (r"\,", "\u00a0"),
    (r"\!", ""),
    (r"\times", "\u00d7"),
    (r"\cdot", "·"),
    (r"\div", "÷"),
    (" ^ ", "^"),
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,6})\}\{(\d{1,6})\}")
_VULGAR_FRACTION = re.compile(" ?([¼-¾⅐-⅞])")
_CLAUSE_COMMA_GROUP = re.compile(r"(?<=\d)[\uff0c\u060c](?=\d{3}(?!\d))")
_BOLD = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)")
_LIST_NUMBER = re.compile(r"(?:(?<=\n)|^(?=#))([ \t]*#*[ \t]*)[1-9][.)][ \t]+(?=\S)")
_FRACTION = re.compile(r"(?<![\d.,/'])(?:(\d{1,6}) )?(\d{1,6})/(\d{1,6})(?!\d|[/.,]\d)")
_TIME = re.compile(
    r"(?<![\d.,])(?<!\d:)\d{1,6}(?::\d{1,6})+(?![\d:])"
    r"|(?<![\d.,])\d{1,2} ?(?:h|小?[时時][間间]?|[点點]|시간?) ?\d{1,2}(?!\d)"
)

# U+066B is the one separator that can only be decimal.
_RAW = rf"(?<![^\s$(])\.\d+|\d+(?:[.,'\u066b\u00a0]\d+)*|{UNREADABLE}"
_SPACED = r"\d+(?:[.,'\u066b\u00a0]\d+| \d{3}(?![\d:])(?!-[^\W\d]))*"
_PLAIN = re.compile(r"(\d*)(?:([.,\u066b])(\d+))?")
_GROUPED = re.compile(r"([1-9]\d{0,2}([.,' \u00a0])\d{3}(?:\2\d{3})*|\d\d?(?:,\d\d)+,\d{3})(?:([.,\u066b])(\d+))?")
_SIGN = re.compile(rf"-([{CURRENCY}\\]*|[ \u00a0]*)$")
_EXPONENT = re.compile(r"(?:\^[ {(]{0,2}|_\{)-?$")


@dataclass(frozen=True)
class Number:
    """Where a number stands, and what it is; None where that is no single number, or cannot be told."""

    start: int
    end: int
    value: Decimal | None


def fold(text: str, language: Language, english: Language) -> str:
    """Bring digits, separators, signs, fractions, magnitudes and markup to one spelling each."""
    text = unicodedata.normalize("NFC", text).translate(_FOLD)
    # `\d` and `decimal`, not `digit`, which also takes superscripts: "18 m²" would end in a 2.
    text = re.sub(r"(?![0-9])\d", lambda m: str(unicodedata.decimal(m[0])), text)
    for command, plain in _LATEX:
        text = text.replace(command, plain)
    text = _LATEX_FRACTION.sub(r" \1/\2", text)
    text = _VULGAR_FRACTION.sub(lambda m: " " + unicodedata.normalize("NFKC", m[1]).replace("\u2044", "/"), text)
    text = _LIST_NUMBER.sub(r"\1", _BOLD.sub("", _CLAUSE_COMMA_GROUP.sub(",", text)))
    text = _FRACTION.sub(_spell_fraction, _TIME.sub(UNREADABLE, text))
    return magnitudes_of(language, english).spell_out(text, lambda digits: _read(digits, language))


def read_numbers(text: str, language: Language, spaced: bool = False) -> list[Number]:
    """Read every number of a folded text, in order; ``spaced``: a plain space groups thousands too."""
    raw = re.compile(f"{_SPACED}|{_RAW}" if spaced or language.decimal_comma else _RAW)
    found, powers = [], "^" in text or "_{" in text
    for match in raw.finditer(text):
        if powers and _EXPONENT.search(text, max(0, match.start() - 4), match.start()):
            continue
        for offset, piece, value in _split(match[0], language):
            start = match.start() + offset
            # A unary minus would round to the context's 28 digits.
            signed = value.copy_negate() if value is not None and _is_negative(text, start) else value
            found.append(Number(start, start + len(piece), signed))
    return found


def _spell_fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match[1], Decimal(match[2]), Decimal(match[3])
    if bottom == 0:
        return match[0]
    if whole is None or top < bottom:
        return spell(Decimal(whole or 0) + top / bottom)
    return f"{whole} {spell(top / bottom)}"


def _split(raw: str, language: Language) -> list[tuple[int, str, Decimal | None]]:
    """Read a run of digits and separators as one number, or else as one for every piece between its blanks."""
    value = _read(raw, language)
    if value is not None:
        return [(0, raw, value)]
    return [(p.start(), p[0], _read(p[0], language)) for p in re.finditer(r"[^ \u00a0]+", raw)]


def _read(raw: str, language: Language) -> Decimal | None:
    if raw == UNREADABLE:
        return None
    plain = _PLAIN.fullmatch(raw)
    if plain is not None:
        whole, mark, part = plain.groups(default="")
        groups = mark == "," or (mark == "." and language.decimal_comma)
        if groups and len(part) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0"):
            return Decimal(whole + part)
        return Decimal(f"{whole}.{part}")
    grouped = _GROUPED.fullmatch(raw)
    if grouped is None or (grouped[3] is not None and grouped[3] == (grouped[2] or ",")):
        return None
    return Decimal(re.sub(r"\D", "", grouped[1]) + "." + (grouped[4] or ""))


def _is_negative(text: str, start: int) -> bool:
    head = text[max(0, start - 16) : start]
    sign = _SIGN.search(head)
    if sign is None:
        return False
    left = head[: sign.start()]
    before = left.rstrip(f" \u00a0%{CURRENCY}")
    if sign[1].isspace():
        return before.endswith("=")
    if before[-1:].isdigit() or left[-1:] in (")", "-"):
        return False
    # Scripts from Thai on write no spaces between words, so there a letter may stand directly before a minus sign.
    return not (left and ord(left[-1]) < 0x0E00 and unicodedata.category(left[-1])[0] in "LM")
