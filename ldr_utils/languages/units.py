"""The length of a text in units that can be counted in every language."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ldr_utils.languages.table import LANGUAGES


def units(text: str, lang: str) -> list[str]:
    """Words of a text, or its characters where ``lang`` writes no spaces between words.

    Spaces and punctuation are no characters; a combining mark belongs to the letter that it stands on, as Thai's vowel
    signs and tone marks do.
    """
    if LANGUAGES[lang].spaced:
        return text.split()
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
