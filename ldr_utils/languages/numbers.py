"""Grader for MGSM-like answers: find the number a completion gives and compare it with the gold number.

How an ambiguous number is read (``lang`` only matters where said):

* ``1,234``: a comma before exactly three digits groups thousands in every language, also in de/es/fr/it/ru, because
  models copy the English style of the MGSM questions there. ``0,125`` and ``1234,567`` cannot be groups: decimals.
* ``1.234``: 1234 in the decimal-comma languages, 1.234 in all others. ``18.00``, ``18,00``: 18 everywhere.
* ``1 234``: one number in the decimal-comma languages; elsewhere only with a non-breaking, thin or figure space.
* ``1,2,3`` and ``12.05.2020`` fit no grouping: several numbers. ``1/2``, ``1 1/2``: one number. ``x^2``: no number.
* ``-5`` is negative unless the hyphen joins (``12-18``, ``A-5``, ``20 - 2``) or leads a list item (``- 5 apples``).

Sources: Shi et al. 2022 (MGSM, answer phrases of its exemplars), openai/simple-evals (answer headings).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise, takewhile
from operator import attrgetter

from ldr_utils.languages.table import LANGUAGES, Language

_CURRENCY = "$€£¥₹৳฿₩₽"
_SCOPE = 200  # characters in which a phrase or a box must hold its number; bounds the cost of a hostile text
_NEAR = 40  # characters between a phrase and its number, or between the terms of an equation

_FOLD: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff")),
    # The full-width comma stays: it mostly separates clauses.
    **{wide: unicodedata.normalize("NFKC", chr(wide)) for wide in range(0xFF01, 0xFF5F) if wide != 0xFF0C},
    **dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2013\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u2007\u2009\u202f"), "\u00a0"),
    **dict.fromkeys(map(ord, "\u2019\u02bc\u066c"), "'"),
}
_LATEX = (("{,}", ","), (r"\,", "\u00a0"), (r"\!", ""), (r"\times", "\u00d7"), (r"\cdot", "·"), (r"\div", "÷"))
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,6})\}\{(\d{1,6})\}")
_VULGAR_FRACTION = re.compile(" ?([¼-¾⅐-⅞])")
_CLAUSE_COMMA_GROUP = re.compile(r"(?<=\d)[\uff0c\u060c](?=\d{3}(?!\d))")
_BOLD = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)")
_LIST_NUMBER = re.compile(r"(?<=\n)[ \t]*[1-9][.)][ \t]+(?=\S)")
_FRACTION = re.compile(r"(?<![\d.,/'])(?:(\d{1,6}) )?(\d{1,6})/(\d{1,6})(?!\d|[/.,]\d)")
_MYRIAD = re.compile(r"(?<![\d.,])(\d[\d,]{0,10}(?:\.\d{1,4})?) ?[万萬만] ?(\d,?\d{3}|\d{1,3})?(?!\d)")

# U+066B is the one separator that can only be decimal.
_RAW = re.compile(r"(?<![^\s$(])\.\d+|\d+(?:[.,'\u066b\u00a0]\d+)*")
_RAW_SPACED = re.compile(r"(?<![^\s$(])\.\d+|\d+(?:[.,'\u066b\u00a0]\d+| \d{3}(?!\d))*")
_PLAIN = re.compile(r"(\d*)(?:([.,\u066b])(\d+))?")
_GROUPED = re.compile(r"([1-9]\d{0,2}([.,' \u00a0])\d{3}(?:\2\d{3})*|\d\d?(?:,\d\d)+,\d{3})(?:([.,\u066b])(\d+))?")
_SIGN = re.compile(rf"-([{_CURRENCY}\\]*|[ \u00a0]*)$")

_BOX_BODY = re.compile(r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*")
_SENTENCE = re.compile(r"(?:[^!?。।\u061f\n.]|\.(?!\s|$))*")
_DIRECT = re.compile(r"(?:[^\w\\]|_|\\[a-z]*|USD?|EUR|GBP|INR|Rs|K[Ss]h|T[Ss]h|KES|TZS|RMB|CNY|JPY|KRW|dola)*")
_BULLET = re.compile(r"\n\s*[-*•]\s")
_OPERATOR = re.compile(rf"\s*[^\s.,;!?。]{{0,12}}?\s*(?:[-+*\u00d7÷/·=]|\sx\s)[\s(\\{_CURRENCY}]*-?")


@dataclass(frozen=True)
class Extraction:
    """The numbers found in a completion: after an answer phrase or in a box, and the last one of the text."""

    phrase: Decimal | None
    last: Decimal | None

    @property
    def value(self) -> Decimal | None:
        """The completion's answer: `phrase` where there is one, otherwise `last`."""
        return self.last if self.phrase is None else self.phrase


@dataclass(frozen=True)
class _Number:
    start: int
    end: int
    value: Decimal


def extract(text: str, lang: str) -> Extraction:
    """Find the answer of a completion.

    Parameters
    ----------
    text : str
        The completion; any string.
    lang : str
        ISO 639-1 code, a key of `LANGUAGES`. English phrases count in every language.

    Raises
    ------
    KeyError
        If `lang` is not a known language.
    """
    marker = _marker(LANGUAGES[lang], LANGUAGES["en"])
    folded = _fold(text, lang)
    numbers = _numbers(folded, lang)
    answers = (_answer_after(folded, match, numbers) for match in reversed(list(marker.finditer(folded))))
    phrase = next((answer for answer in answers if answer is not None), None)
    return Extraction(phrase, numbers[-1].value if numbers else None)


def parse_number(token: str, lang: str) -> Decimal | None:
    """Read a token that holds one number, with any currency, unit or markup around it.

    Returns
    -------
    Decimal or None
        The number in the token's own unit (``18%`` is 18), None where the token holds none or several.
    """
    numbers = _numbers(_fold(token, lang), lang)
    return numbers[0].value if len(numbers) == 1 else None


def gold_number(gold: str | int | float) -> Decimal:
    """Read a gold answer, which MGSM writes in the English style.

    Raises
    ------
    ValueError
        If `gold` is not one finite number.
    """
    number = parse_number(gold, "en") if isinstance(gold, str) else Decimal(str(gold))
    if number is None or not number.is_finite():
        raise ValueError(f"gold is not one number: {gold!r}")
    return number


@cache
def _marker(language: Language, english: Language) -> re.Pattern[str]:
    patterns = [r"(?P<box>\\boxed\s?\{)"]
    for phrase in sorted({*language.answer_phrases, *english.answer_phrases}, key=len, reverse=True):
        words = r"\s{1,3}".join(map(re.escape, _fold(phrase, "en").removesuffix(":").split()))
        patterns.append(words + (r"[*_ \u00a0]{0,3}[:—=\n-]" if phrase.endswith(":") else ""))
    return re.compile("|".join(patterns), re.IGNORECASE)


def _fold(text: str, lang: str) -> str:
    """Bring digits, separators, signs, fractions and markup to one spelling each."""
    text = unicodedata.normalize("NFC", text).translate(_FOLD)
    # `\d` and `decimal`, not `digit`, which also takes superscripts: "18 m²" would end in a 2.
    text = re.sub(r"\d", lambda m: str(unicodedata.decimal(m[0])), text)
    for command, plain in _LATEX:
        text = text.replace(command, plain)
    text = _LATEX_FRACTION.sub(r" \1/\2", text)
    text = _VULGAR_FRACTION.sub(lambda m: " " + unicodedata.normalize("NFKC", m[1]).replace("\u2044", "/"), text)
    text = _LIST_NUMBER.sub("", _BOLD.sub("", _CLAUSE_COMMA_GROUP.sub(",", text)))
    if LANGUAGES[lang].magnitudes:
        text = _MYRIAD.sub(_spell_myriad, text)
    return _FRACTION.sub(_spell_fraction, text)


def _spell(value: Decimal) -> str:
    return f"{value:f}".replace(".", "\u066b")


def _spell_myriad(match: re.Match[str]) -> str:
    high, low = match[1].replace(",", ""), (match[2] or "0").replace(",", "")
    return _spell(Decimal(high) * 10_000 + Decimal(low))


def _spell_fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match[1], Decimal(match[2]), Decimal(match[3])
    if bottom == 0:
        return match[0]
    if whole is None or top < bottom:
        return _spell(Decimal(whole or 0) + top / bottom)
    return f"{whole} {_spell(top / bottom)}"


def _numbers(text: str, lang: str) -> list[_Number]:
    """Read every number of a folded text, in order."""
    raw = _RAW_SPACED if LANGUAGES[lang].decimal_comma else _RAW
    found = []
    for match in raw.finditer(text):
        if text.endswith(("^", "^{", "_{"), 0, match.start()):
            continue
        for offset, piece, value in _split(match[0], lang):
            start = match.start() + offset
            # A unary minus would round to the context's 28 digits.
            signed = value.copy_negate() if _is_negative(text, start) else value
            found.append(_Number(start, start + len(piece), signed))
    return found


def _split(raw: str, lang: str) -> list[tuple[int, str, Decimal]]:
    """Read a run of digits and separators as one number, or else as the fewest that it can be."""
    value = _read(raw, lang)
    if value is not None:
        return [(0, raw, value)]
    found = []
    for piece in re.finditer(r"[^ \u00a0]+", raw):
        value = _read(piece[0], lang)
        if value is not None:
            found.append((piece.start(), piece[0], value))
        else:
            found += [(piece.start() + d.start(), d[0], Decimal(d[0])) for d in re.finditer(r"\d+", piece[0])]
    return found


def _read(raw: str, lang: str) -> Decimal | None:
    plain = _PLAIN.fullmatch(raw)
    if plain is not None:
        whole, mark, part = plain.groups(default="")
        groups = mark == "," or (mark == "." and LANGUAGES[lang].decimal_comma)
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
    before = left.rstrip(f" \u00a0%{_CURRENCY}")
    if sign[1].isspace():
        return before.endswith("=")
    if before[-1:].isdigit() or left[-1:] in (")", "-"):
        return False
    # Scripts from Thai on write no spaces between words, so there a letter may stand directly before a minus sign.
    return not (left and ord(left[-1]) < 0x0E00 and unicodedata.category(left[-1])[0] in "LM")


def _answer_after(text: str, marker: re.Match[str], every: list[_Number]) -> Decimal | None:
    """Return the answer that a phrase or box introduces, None where that is unclear."""
    scope = (marker.end(), marker.end() + _SCOPE)
    first, stop = (bisect_left(every, position, key=attrgetter("start")) for position in scope)
    numbers = every[first:stop]
    if not numbers:
        return None
    last = marker[0][-1]
    heading = last in ":—=\n-#"
    gap = text[marker.end() : numbers[0].start]
    if len(gap) <= _NEAR and _DIRECT.fullmatch(gap) and not _BULLET.search(last + gap):
        # Below a heading an equation is as likely the first line of the working as the result.
        return None if heading and _operators(text, numbers) else _result(text, numbers)
    if heading:
        return None
    body = (_BOX_BODY if marker["box"] else _SENTENCE).match(text, *scope)
    inside = {number.value for number in numbers if body is not None and number.end <= body.end()}
    return inside.pop() if len(inside) == 1 else None


def _operators(text: str, numbers: list[_Number]) -> list[str]:
    """Return what joins the first number to the next ones while that is an operator."""
    gaps = (text[left.end : right.start] for left, right in pairwise(numbers))
    return list(takewhile(lambda gap: len(gap) <= _NEAR and _OPERATOR.fullmatch(gap), gaps))


def _result(text: str, numbers: list[_Number]) -> Decimal:
    """Return the right-hand side of the equation that the numbers start with, or else the first number."""
    equals = [index for index, operator in enumerate(_operators(text, numbers), start=1) if "=" in operator]
    # "18 dollars = 1800 cents" and "50% = 0.5" restate the first number, they compute nothing.
    return numbers[0].value if not equals or equals[0] == 1 else numbers[equals[-1]].value
