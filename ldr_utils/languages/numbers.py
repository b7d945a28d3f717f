"""Grader for MGSM-like answers: find the number a completion gives and compare it with the gold number.

Thoughts are put aside, and what follows the first turn; in that turn the last answer phrase or box decides, and where
there is none the last number. How numbers are read stands in ``reading``. Where a rule cannot tell (a range, a time, an
unfinished thought, an answer that is spelled out), there is no number: nothing is guessed.

Sources: Shi et al. 2022 (MGSM, answer phrases of its exemplars), openai/simple-evals (answer headings).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise, takewhile
from operator import attrgetter

from ldr_utils.languages.magnitudes import AND
from ldr_utils.languages.reading import CURRENCY, Number, fold, read_numbers
from ldr_utils.languages.scripts import plain
from ldr_utils.languages.table import LANGUAGES, Language
from ldr_utils.languages.thoughts import said
from ldr_utils.languages.turns import first_turn

_SCOPE = 200  # characters in which a phrase or a box must hold its number; bounds the cost of a hostile text
_NEAR = 40  # characters between a phrase and its number, or between the terms of an equation
_SPACED_GROUP = re.compile(r"\d \d{3}")
_COLON = ":—=\n】ঃ-"  # what ends a heading

_BOX_BODY = re.compile(r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*")
_SENTENCE = re.compile(r"(?:[^!?。।\u061f\n.]|\.(?!\s|$))*")
_DIRECT = re.compile(
    r"(?:[^\w\\]|_|\\[a-z]*|USD?|EUR|GBP|INR|Rs|K[Ss]h|T[Ss]h|KES|TZS|RMB|CNY|JPY|KRW|dola|de|\b[A-Za-z]\s?=)*"
)
_WORD = re.compile(r"[^\w\n]*[^\W\d]+\s*")
_BULLET = re.compile(r"\n\s*[-*•]\s")
_LONE_LETTER = re.compile(r"(?<!\w)[a-z]$", re.IGNORECASE)

_UNIT = r"[^\s\d.,;:!?。=+*/()~-]{1,16}"
_OPERATOR = re.compile(
    rf"(?:[^\S\n]*[^\s.,;!?。]{{0,12}}?[^\S\n]*(?:\*\*|[-+*\u00d7÷/·]|\sx\s)"
    rf"|\s*[^\s.,;!?。]{{0,12}}?\s*=\s*(?:[^\W\d]{{1,8}}\.?\s)?)"
    rf"[\s(\\{CURRENCY}]*-?"
)
_SHARE = re.compile(r"\s*%\s*[^\W\d]+\s*")  # 25% of 72 = 18
_PART = re.compile(rf"\s*(?:{AND}\s)?\s*({_UNIT})(?:\s+{AND})?\s*")
_TOTAL = re.compile(rf"\s*({_UNIT})?\s*=\s*({_UNIT})?\s*")
_NEXT_UNIT = re.compile(rf"\s*({_UNIT})")
_RECKONED = re.compile(
    r"\^|[²³\u2074-\u2079]|dozen|dutzend|docena|douzaine|dozzin|дюжин|dazeni|ডজন|డజన్|โหล|打|ダース|다스|دزين",
    re.IGNORECASE,
)
_ROOT = re.compile(r"(?:√|sqrt)[\s({]*$")
_TIGHT = re.compile(rf"[%°]?(?:[-—]|\s*(?:~|\.{{2,3}}|…)\s*)[{CURRENCY}\\]*")  # 18-20, 18 ~ 20
_SAME_UNIT = re.compile(rf"\s*({_UNIT})\s*[-—~]\s*[{CURRENCY}\\]*")  # 18 km - 20 km
_DASH_ASIDE = re.compile(rf"\s*[^\W\d]\S*\s+-\s*[{CURRENCY}\\]*")  # 18 dollars - 9 eggs at 2


@dataclass(frozen=True)
class Extraction:
    """The numbers found in a completion: after an answer phrase or in a box, and the last one of its first turn."""

    phrase: Decimal | None
    last: Decimal | None

    @property
    def value(self) -> Decimal | None:
        """The completion's answer: `phrase` where there is one, otherwise `last`."""
        return self.last if self.phrase is None else self.phrase


@dataclass(frozen=True)
class _Speech:
    """What the records of a language, and of English beside it, say of answers."""

    phrases: re.Pattern[str]
    spelled: re.Pattern[str]
    ranges: tuple[tuple[str, re.Pattern[str]], ...]  # what stands before the ends of a range, and between them
    units_first: bool


def extract(text: str, lang: str) -> Extraction:
    """Find the answer of a completion.

    Parameters
    ----------
    text : str
        The completion; any string.
    lang : str
        ISO 639-1 code, a key of `LANGUAGES`. English phrases, magnitudes and headings count in every language.

    Returns
    -------
    Extraction
        Both numbers None where there is none, and where no rule can tell which one it is.

    Raises
    ------
    KeyError
        If `lang` is not a known language.
    """
    language, english = LANGUAGES[lang], LANGUAGES["en"]
    speech = _speech(language, english)
    outside, unfinished = said(text)
    folded = fold(outside, language, english)
    turn = first_turn(folded, language, english, speech.phrases)
    numbers = read_numbers(turn, language)
    if not numbers or (unfinished and turn == folded):
        return Extraction(None, None)
    spaced = read_numbers(turn, language, spaced=True) if _SPACED_GROUP.search(turn) else numbers
    found = _stated(turn, spaced, speech)
    if (found or numbers[-1]).value is None:
        return Extraction(None, None)
    last = next(number.value for number in reversed(numbers) if number.value is not None)
    return Extraction(found.value if found else None, last)


def parse_number(token: str, lang: str) -> Decimal | None:
    """Read a token that holds one number, with any currency, unit or markup around it.

    Returns
    -------
    Decimal or None
        The number in the token's own unit (``18%`` is 18), None where the token holds none or several.
    """
    language = LANGUAGES[lang]
    numbers = read_numbers(fold(token, language, LANGUAGES["en"]), language)
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
def _speech(language: Language, english: Language) -> _Speech:
    patterns = [r"(?P<box>\\boxed\s?\{)"]
    for phrase in sorted({*language.answer_phrases, *english.answer_phrases}, key=len, reverse=True):
        words = r"\s{1,3}".join(map(re.escape, plain(phrase).removesuffix(":").split()))
        patterns.append(words + (rf"[*_\"' \u00a0]{{0,3}}[{_COLON}]" if phrase.endswith(":") else ""))
    numerals = "|".join(re.escape(plain(word)) for word in (*language.numerals, *english.numerals))
    return _Speech(
        re.compile("|".join(patterns), re.IGNORECASE),
        re.compile(rf"[\W_]{{0,10}}(?:{numerals})", re.IGNORECASE),
        tuple(_range(words) for words in (*language.ranges, *english.ranges)),
        language.units_first,
    )


def _range(words: str) -> tuple[str, re.Pattern[str]]:
    before, _, between = plain(words).rpartition("#")
    word = re.escape(between.strip())
    return before.strip().casefold(), re.compile(rf"\s*({_UNIT})??\s*{word}[\s{CURRENCY}\\]*", re.IGNORECASE)


def _stated(text: str, numbers: list[Number], speech: _Speech) -> Number | None:
    """The last answer that a phrase or a box introduces; its value is None where that cannot be told."""
    bare = plain(text)
    for marker in reversed(list(speech.phrases.finditer(bare))):
        answer = _answer_after(text, bare, marker, numbers, speech)
        if answer is not None:
            return answer
    return None


def _answer_after(text: str, bare: str, marker: re.Match[str], every: list[Number], speech: _Speech) -> Number | None:
    """The answer that one phrase or box introduces, None where that is unclear."""
    scope = (marker.end(), marker.end() + _SCOPE)
    first, stop = (bisect_left(every, position, key=attrgetter("start")) for position in scope)
    numbers = every[first:stop]
    heading = marker[0][-1] in _COLON + "#"
    body = (_BOX_BODY if marker["box"] else _SENTENCE).match(text, *scope)
    inside = [number for number in numbers if body is not None and number.end <= body.end()]
    if not inside and not (heading and numbers) and speech.spelled.match(bare, marker.end()):
        return Number(*scope, None)
    if not numbers:
        return None
    gap = text[marker.end() : numbers[0].start]
    near = len(gap) <= _NEAR and not _BULLET.search(marker[0][-1] + gap)
    if near and (_DIRECT.fullmatch(gap) or (speech.units_first and _WORD.fullmatch(gap))):
        return _result(text, bare, numbers, heading, speech)
    if heading or _LONE_LETTER.search(text, *marker.span()):
        return None
    if len({number.value for number in inside}) == 1:
        return inside[0]
    return Number(*scope, None) if len(inside) == 2 and _is_range(text, bare, inside, speech) else None


def _result(text: str, bare: str, numbers: list[Number], heading: bool, speech: _Speech) -> Number | None:
    """What the expression that the numbers start with comes to; None for the first line of a heading's working."""
    if total := _compound(text, numbers):
        return total
    gaps = _gaps(text, numbers)
    equals = [index for index, gap in enumerate(gaps, start=1) if "=" in gap]
    if equals and equals[0] == 1 and (numbers[0].value is None or _is_reckoned(text, numbers[0], gaps[0])):
        return numbers[equals[-1]]
    if heading and gaps and not _is_range(text, bare, numbers, speech) and (equals or len(numbers) > 2):
        return None  # as likely the first line of the working as the result
    if equals:
        # "18 dollars = 1800 cents" and "50% = 0.5" restate the first number, they compute nothing.
        return numbers[0] if equals[0] == 1 else numbers[equals[-1]]
    if _is_range(text, bare, numbers, speech) or (gaps and not _DASH_ASIDE.fullmatch(gaps[0])):
        return Number(numbers[0].start, numbers[1].end, None)
    return numbers[0]


def _gaps(text: str, numbers: list[Number]) -> list[str]:
    """What joins the first number to the next ones while that is an operator."""
    gaps = [text[left.end : right.start] for left, right in pairwise(numbers)]
    share = gaps[1:] and len(gaps[0]) <= _NEAR and _SHARE.fullmatch(gaps[0]) and "=" in gaps[1]
    rest = takewhile(lambda gap: len(gap) <= _NEAR and _OPERATOR.fullmatch(gap), gaps[1:] if share else gaps)
    return [*gaps[: 1 if share else 0], *rest]


def _is_reckoned(text: str, number: Number, gap: str) -> bool:
    """Whether a number alone makes an expression: 5^2, √9, 2 dozen."""
    return bool(_RECKONED.search(gap) or _ROOT.search(text, max(0, number.start - 8), number.start))


def _compound(text: str, numbers: list[Number]) -> Number | None:
    """The total that a quantity in several units is said to be: 12 hours 30 minutes = 750 minutes."""
    units: list[str] = []
    for left, right in pairwise(numbers):
        gap = text[left.end : right.start]
        if len(gap) > _NEAR:
            return None
        if units and (total := _TOTAL.fullmatch(gap)) and (total[1] or total[2]):
            unit = total[2] or _unit_at(text, right.end)
            return right if not unit or any(unit[:3] == one[:3] for one in [*units, total[1] or ""]) else None
        if not (part := _PART.fullmatch(gap)):
            return None
        units.append(part[1])
    return None


def _unit_at(text: str, position: int) -> str:
    found = _NEXT_UNIT.match(text, position)
    return found[1] if found else ""


def _is_range(text: str, bare: str, numbers: list[Number], speech: _Speech) -> bool:
    """Whether the first two numbers are the ends of a range, or a choice."""
    if len(numbers) < 2 or numbers[1].start - numbers[0].end > _NEAR:
        return False
    before, between = bare[: numbers[0].start], bare[numbers[0].end : numbers[1].start]
    if _TIGHT.fullmatch(between):
        return True
    unit = _unit_at(bare, numbers[1].end)
    if (same := _SAME_UNIT.fullmatch(between)) and same[1] == unit:
        return True
    found = [
        pattern.fullmatch(between)
        for start, pattern in speech.ranges
        if before.rstrip(f"{CURRENCY} ").casefold().endswith(start)
    ]
    return any(match and (not match[1] or match[1][:3] == unit[:3]) for match in found)
