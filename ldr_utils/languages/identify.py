"""Language identification, restricted to the languages in question."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(languages))
    return identifier


def identify(text: str, languages: list[str]) -> str | None:
    """Language of ``text`` among ``languages``; None when no letter is left to judge by."""
    if not any(char.isalpha() for char in text):
        return None
    code: str = _identifier(tuple(sorted(languages))).classify(text)[0]
    return code


def off_target(text: str, lang: str, languages: list[str]) -> bool:
    """Whether ``text`` is in another language than ``lang``; text without letters is in none, so it is on target."""
    return identify(text, languages) not in (lang, None)
