"""The length of a text in units that can be counted in every language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ldr_utils.languages.table import LANGUAGES

_UNSPACED = re.compile(  # Thai and Lao, Tibetan, Burmese, Khmer, kana, Han
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def units(text: str, lang: str) -> list[str]:
    """Words of a text, or its characters where ``lang`` writes no spaces between words.

    Words in a script without spaces are cut into characters in every language: an answer in the wrong one has a length
    too. Spaces and punctuation are no characters; a combining mark belongs to the letter that it stands on, as Thai's
    vowel signs and tone marks do.
    """
    if not LANGUAGES[lang].spaced:
        return characters(text)
    return [unit for word in text.split() for unit in (characters(word) if _UNSPACED.search(word) else [word])]


def characters(text: str) -> list[str]:
    """Letters and digits, each with its combining marks."""
    found: list[str] = []
    for character in text:
        kind = unicodedata.category(character)[0]
        if kind in "LN":
            found.append(character)
        elif kind == "M" and found:
            found[-1] += character
    return found


def unit_label(languages: Sequence[str]) -> str:
    """What `units` counts in these languages, for an axis: such as ``words (ja, zh: characters)``."""
    unspaced = [lang for lang in languages if not LANGUAGES[lang].spaced]
    if len(unspaced) == len(languages):
        return "characters"
    return f"words ({', '.join(unspaced)}: characters)" if unspaced else "words"
