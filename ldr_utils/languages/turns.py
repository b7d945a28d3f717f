"""Where a completion's own turn ends: a model that is not stopped goes on with a next question, and answers that."""

from __future__ import annotations

import re
from functools import cache

from ldr_utils.languages.scripts import plain
from ldr_utils.languages.table import Language

# How chat templates mark turns, leaked as text.
_MARK = r"<\|[^\s<>]{1,40}>|<[a-z]+\|>|</?s>|<(?:bos|eos|pad|(?:start|end)_of_turn)>|\[/?INST\]"
_BARE_ROLE = r"(?:^|(?<=[.!?。।]))[ \t]*(?:user|assistant|model)[ \t]*$"
_ROLES = ("User", "Human", "Assistant", "Instruction")
_COUNT = r"[ \u00a0]?(?:n[o°]\.? ?|№ ?|#)?\d{1,3}"
_HEADED = re.compile(
    r"[\s#*_>-]*+(?!(?:A|AI|Assistant|Response)\b)(?:[^\s\d:]{1,24}+[ \u00a0]?+){1,3}+:", re.IGNORECASE
)
_EQUATION = re.compile(r"=[^\w\n]{0,8}\d")
_DIGIT = re.compile(r"\d")
_TO_DIGIT = re.compile(r"\D{0,40}\d")


def first_turn(text: str, language: Language, english: Language, phrases: re.Pattern[str]) -> str:
    """The part of a folded text before what opens a next turn.

    Nothing opens one before there is an answer. That is any number, but in a text that begins with a heading: it may
    restate what is given and what is asked, line by line, so there it takes an answer phrase or an equation.
    """
    bare = plain(text)
    begin = _answered(bare, phrases) if _HEADED.match(bare) else _DIGIT.search(bare)
    end = begin and _next_turn(language, english).search(bare, begin.end())
    return text[: end.start()] if end else text


def _answered(text: str, phrases: re.Pattern[str]) -> re.Match[str] | None:
    after = (_TO_DIGIT.match(text, phrase.end()) for phrase in phrases.finditer(text))
    found = [next(filter(None, after), None), _EQUATION.search(text)]
    return min(filter(None, found), key=re.Match.end, default=None)


@cache
def _next_turn(language: Language, english: Language) -> re.Pattern[str]:
    words = {*_ROLES, *language.question_headings, *english.question_headings}
    heads = "|".join(re.escape(plain(word.removesuffix(":"))) for word in sorted(words, key=len, reverse=True))
    line = rf"^[ \t>#*_-]*+(?:{heads})(?:{_COUNT}[.)]|(?:{_COUNT})?[*_ \u00a0]{{0,4}}(?:[:ঃ]|$))"
    return re.compile(f"{_MARK}|{_BARE_ROLE}|{line}", re.IGNORECASE | re.MULTILINE)
