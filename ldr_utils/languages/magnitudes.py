"""Numbers that are written with words for powers of ten: read whole, or marked as what no rule could tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial

from ldr_utils.languages.scripts import plain
from ldr_utils.languages.table import Language

UNREADABLE = "\ue000"  # stands where something is, of which no rule could tell which number it is
AND = "(?:and|und|y|e|et|и|na|এবং|ও|మరియు|และ|和|と|와|과|و)"
Read = Callable[[str], Decimal | None]

_BLANK = "[ \u00a0]"
_GAP = r"[ \u00a0$*]{0,3}(?:\\text(?:bf)?\{ ?)?"  # between digits and their word
_DIGITS = r"(?<![\d.,'\u066b])\d++(?:[.,'\u066b\u00a0]\d++){0,12}+"
_GROUPS = r"(?: \d{3}(?!\d)){0,8}+"
_REST = r"(?P<rest>\d{1,3}(?:[.,]\d{3})++|\d{1,8})(?![\d/:%^]|[.,'\u00a0]\d|-[^\W\d])"
# Of a script that ends its words; where case is ignored, the range would take in k, which the Kelvin sign is one of.
_LETTER = r"(?-i:[^\W\d_\u0900-\U0010ffff])"
_WORD_BEGINS = r"(?<![^\W\d_])"
_NEXT = rf"(?:,?{_BLANK}{AND}{_BLANK}?|\.?{_BLANK}?)"


@dataclass(frozen=True)
class _Order:
    """Compounds in which the words stand after their digits, or before them; and one pair of both, taken apart."""

    compound: re.Pattern[str]
    pair: re.Pattern[str]


@dataclass(frozen=True)
class Magnitudes:
    """What a language's compounds look like, and the powers of ten in them."""

    powers: dict[str, int]
    word: re.Pattern[str]
    orders: tuple[_Order, ...]
    half: re.Pattern[str]  # digits that end a number begun in words: mil 800, 三千5

    def spell_out(self, text: str, read: Read) -> str:
        """Replace every compound by its number, or by `UNREADABLE`; ``read`` reads what has digits alone."""
        for order in self.orders:
            text = order.compound.sub(partial(self._number, order.pair, read), text)
        return self.half.sub(UNREADABLE, text)

    def _number(self, pair: re.Pattern[str], read: Read, found: re.Match[str]) -> str:
        parts = list(pair.finditer(found["compound"]))
        in_digits = [part["number"][0].isdigit() for part in parts]
        powers = [self._power(part) for part in parts]
        tail = found[0][len(found["compound"]) :]
        if max(powers) == 1 or not (any(in_digits) or found["rest"]):
            return found[0]
        numbers = [read(part["number"]) if part["number"][0].isdigit() else None for part in parts]
        values = [number * power for number, power in zip(numbers, powers, strict=True) if number is not None]
        if len(values) < len(parts) or found["spelled"]:
            return UNREADABLE
        if any(value >= power for power, value in zip(powers, values[1:], strict=False)):
            return " ".join(map(spell, values)) + tail  # several numbers in a row
        return _with_rest(sum(values, Decimal(0)), len(str(powers[-1])) - 1, found, tail)

    def _power(self, part: re.Match[str]) -> int:
        power = 1
        for word in self.word.findall(part.string, *part.span("words")):
            power *= self.powers[_key(word)]
        return power


def spell(value: Decimal) -> str:
    """A number in digits, with U+066B before its decimals: the one separator that can only be decimal."""
    return f"{value:f}".replace(".", "\u066b")


def _with_rest(value: Decimal, zeros: int, found: re.Match[str], tail: str) -> str:
    """A compound's number, with the digits behind it where they are its last ones: 5万7500, 18 тысяч 500."""
    digits, gap = re.sub(r"\D", "", found["rest"] or ""), found["gap"] or ""
    if digits and not gap and not 1 < len(digits) <= zeros:
        return UNREADABLE  # 1万8 is 18,000 to some and 10,008 to others
    least = 2 if not gap or zeros == 4 else 3 if gap.isspace() else 1
    return spell(value + Decimal(digits)) if digits and least <= len(digits) <= zeros else spell(value) + tail


@cache
def magnitudes_of(language: Language, english: Language) -> Magnitudes:
    """The compounds of a language, with the English words beside its own: models use them everywhere."""
    own, numerals = dict(language.magnitudes), _one_of(map(re.escape, language.numerals))
    powers = {_key(word): power for word, power in [*english.magnitudes, *own.items()]}
    number = _DIGITS + (_GROUPS if language.decimal_comma else "")
    words = _one_of(
        _as_word(word, language.units_first and word in own) for word in {**dict(english.magnitudes), **own}
    )
    orders = [
        _order(rf"(?P<number>{number}){_GAP}(?P<words>{_run(words)})", rf"{_BLANK}{AND}{_BLANK}|{_BLANK}?", numerals)
    ]
    if language.units_first:
        first = _run(_one_of(_as_word(word) for word in own))
        pair = rf"{_WORD_BEGINS}(?P<words>{first}){_BLANK}(?P<number>{number}|(?:{numerals})[^\W\d_]*)"
        orders.insert(0, _order(pair, f"{_BLANK}{AND}{_BLANK}", "(?!)"))
    return Magnitudes(powers, _pattern(words), tuple(orders), _pattern(_half(language, powers, number)))


def _key(word: str) -> str:
    return word if len(word) == 1 else plain(word).casefold()


def _order(pair: str, gap: str, numerals: str) -> _Order:
    unnamed = re.sub(r"\?P<\w+>", "?:", pair)
    last = rf"(?:(?P<gap>{gap}){_REST}|{_BLANK}?(?P<spelled>{numerals}))?"
    return _Order(_pattern(f"(?P<compound>{unnamed}(?:{_NEXT}{unnamed})*){last}"), _pattern(pair))


def _half(language: Language, powers: dict[str, int], number: str) -> str:
    own = dict(language.magnitudes)
    apart = (
        word for word in powers if len(word) > 2 and not _goes_on(word) and not (language.units_first and word in own)
    )
    joined, numerals = (_one_of(map(re.escape, filter(_goes_on, words))) for words in (own, language.numerals))
    words = rf"{_WORD_BEGINS}(?:{_one_of(map(re.escape, apart))}){_BLANK}(?:{AND}{_BLANK})?"
    return rf"(?:{words}|(?:{numerals})(?:{joined}){{0,3}}){number}"


def _goes_on(word: str) -> bool:
    """Whether letters may follow a word: scripts from Devanagari on attach endings, or write no spaces."""
    return ord(word[-1]) >= 0x0900


def _run(words: str) -> str:
    return f"(?:{words})(?:{_BLANK}?(?:{words}))*"


def _as_word(word: str, ends: bool = False) -> str:
    """A pattern of a word; ``ends``: no digits may follow it, for then it belongs to those."""
    if len(word) == 1 and word.isascii():  # 70k, but not 2k = 36
        return rf"(?<=\d)(?-i:{word})(?!\d|{_LETTER}|{_BLANK}?[=+*^/-])"
    whole = "" if _goes_on(word) else f"(?!{_LETTER})"
    return re.escape(word) + whole + (rf"(?!{_BLANK}?\d)" if ends else "")


def _one_of(patterns: Iterable[str]) -> str:
    return "|".join(sorted(patterns, key=len, reverse=True)) or "(?!)"


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
