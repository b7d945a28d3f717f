"""Which language a text is in, out of all that FLORES-200 and a small model share; undecided where it cannot be told.

The script decides where it can; within a script, py3langid's naive Bayes model of byte sequences does.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ldr_utils.languages.prose import prose, sentences
from ldr_utils.languages.scripts import LABELS, home, known, script_of, written_in
from ldr_utils.languages.table import LANGUAGES

# Chosen by the rule of benchmarks/identification.py on one half of its texts (docs/languages.md has the other half).
MARGIN = 9.0  # natural logarithm of how much likelier a language must be than another
LETTERS = 10  # that the model needs
WORDS = 2  # that must begin in lower case where there are cases: capitals alone may be names
SCRIPT_LETTERS = 4  # that say which script a text is in: fewer may be a symbol or a unit
WIDE = 3  # letters that a character of Chinese, Japanese or Korean counts as
HAN = 30  # characters without kana: fewer may be Japanese, if none of them tells
TELLING = 2  # characters that only one of the two writes with
KANA = 0.1  # share of kana that makes East Asian text Japanese
OWN = 0.25  # share of the asked language's letters in a text of mostly Latin ones that may be full of names
LONGEST = 1000  # characters that the model reads
EAST_ASIAN = ("Hani", "Kana", "Hang")
_OPENING = "\"'“”„«»‘’‚([{¿¡*_#|-–—"  # what a word may open with


def identify(text: str, lang: str | None = None) -> str | None:
    """Code of the language that ``text`` is in.

    Parameters
    ----------
    text : str
        An answer, or a part of one; what is no language in it (see `prose`) is left out.
    lang : str, optional
        The language asked for. It is then enough to tell whether the text is in it: between two others the likelier is
        named.

    Returns
    -------
    str or None
        ``lang``, another code of ISO 639 (``und`` for a script without a known language), or None: undecided. A
        language that the model does not know is undecided in its own script.
    """
    return _told(prose(text), lang)


def off_target(text: str, lang: str) -> bool:
    """Whether ``text`` is in another language than ``lang``; what is undecided is not."""
    return identify(text, lang) not in (lang, None)


def undecided(text: str, lang: str) -> bool:
    """Whether ``text`` does not tell if it is in ``lang``: too short, no language in it, or like two."""
    return identify(text, lang) is None


def line_pass(text: str, lang: str) -> bool | None:
    """Whether every sentence of ``text`` that can be told is in ``lang``; None where none can.

    The line-level measure of the Language Confusion Benchmark (Marchisio et al. 2024), but for two things: a sentence
    ends a line, for an answer of one paragraph may change its language; and lines are left out where they are
    undecided, not where they have fewer than five tokens.
    """
    found = [_told(sentence, lang) for sentence in sentences(prose(text))]
    decided = [code == lang for code in found if code is not None]
    return all(decided) if decided else None


def word_pass(text: str, lang: str) -> bool | None:
    """Whether no foreign word stands in ``text``; None where ``lang`` is written in Latin letters or a line is not.

    The word-level measure of the Language Confusion Benchmark: of answers that pass by line, whether they are without
    a lower-case English word of more than three letters. Here any word in Latin letters counts, without a dictionary,
    and every language that is written in another script.
    """
    if "Latn" in written_in(LANGUAGES[lang].flores) or line_pass(text, lang) is not True:
        return None
    words = "".join(char if script_of(char) == "Latn" else " " for char in prose(text)).split()
    return not any(len(word) > 3 and word.islower() for word in words)


def closest(text: str, languages: list[str]) -> str | None:
    """Which of ``languages`` a text is likeliest in, for a world that has no others; None when it has no letter."""
    if not any(map(str.isalpha, text)):
        return None
    labels = {LABELS.get(LANGUAGES[lang].flores): lang for lang in languages}
    return next((labels[label] for label in _ranked(text) if label in labels), None)


@cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _told(words: str, lang: str | None) -> str | None:
    """`identify` of a text that is all prose."""
    seen = _reading(words)
    own = LABELS.get(LANGUAGES[lang].flores) if lang else None
    if lang and seen.script not in written_in(LANGUAGES[lang].flores):
        return _likeliest(seen)[0] if _is_foreign(seen, lang) else None
    if lang and own is None:
        return None
    candidates = known(seen.script)
    if len(candidates) < 2:
        label = next(iter(candidates), None) if seen.letters[seen.script] >= SCRIPT_LETTERS else None
    elif seen.script == "Hani":
        label = _chinese_or_japanese(seen.words) or _phrased(seen)
    else:
        label = (_decided(seen, own) if _is_enough(seen) else None) or _phrased(seen)
    return lang if lang and label == own else label


class _Reading(NamedTuple):
    """The words of a text in the script that most of its letters are in, that script, and the letters by script."""

    words: str
    script: str
    letters: Counter[str]


@lru_cache(maxsize=1024)
def _reading(words: str) -> _Reading:
    words = unicodedata.normalize("NFKC", words)
    letters: Counter[str] = Counter()
    for char, count in Counter(words).items():
        letters[script_of(char)] += count * (WIDE if script_of(char) in EAST_ASIAN else 1)
    letters.pop("", None)
    if letters.keys() & {"Hani", "Kana"}:
        kana, han = letters.pop("Kana", 0), letters.pop("Hani", 0)
        letters["Jpan" if kana >= KANA * (kana + han) else "Hani"] = kana + han
    script = max(letters, key=letters.__getitem__, default="")
    if len(letters) > 1:
        own = {"Hani", "Kana"} if script in ("Hani", "Jpan") else {script}
        words = "".join(char if script_of(char) in own | {""} else " " for char in words)
    return _Reading(words, script, letters)


@lru_cache(maxsize=1024)
def _ranked(words: str) -> dict[str, float]:
    """Log-likelihood of every language, the likeliest first."""
    return dict(_model().rank(words[:LONGEST]))


def _likeliest(seen: _Reading) -> list[str]:
    """Languages written in the script of a text, the likeliest first."""
    return [label for label in _ranked(seen.words) if label in known(seen.script)] or ["und"]


def _decided(seen: _Reading, own: str | None) -> str | None:
    """The likeliest language, where it is likelier by the margin than the one asked for, or than any other."""
    first, *others = _likeliest(seen)
    rival = own if own and own != first else others[0]
    ranked = _ranked(seen.words)
    return first if ranked[first] - ranked[rival] >= MARGIN else None


def _chinese_or_japanese(words: str) -> str | None:
    """Which of the two is written with these characters, all or almost all of them Chinese ones.

    The model cannot tell: Japanese without kana is Chinese to it.
    """
    homes = Counter(map(home, words))
    telling = {lang for lang in ("zh", "ja") if homes[lang] >= TELLING}
    if not telling and homes.total() - homes[""] >= HAN:
        return "zh"
    return telling.pop() if len(telling) == 1 else None


def _phrased(seen: _Reading) -> str | None:
    """The language whose answer phrase stands in a text that tells the model too little."""
    words = seen.words.casefold()
    spoken = {
        LABELS.get(record.flores)
        for record in LANGUAGES.values()
        if any(phrase[-1].isalpha() and phrase.casefold() in words for phrase in record.answer_phrases)
    }
    return spoken.pop() if len(spoken) == 1 else None


def _is_foreign(seen: _Reading, lang: str) -> bool:
    """Whether a text says that it is not in the script of ``lang``.

    Latin letters stand for names and terms in every script: they must be enough to judge by, and most of the text.
    """
    if seen.script != "Latn":
        return seen.letters[seen.script] >= SCRIPT_LETTERS
    own = sum(seen.letters[script] for script in written_in(LANGUAGES[lang].flores))
    return _is_enough(seen) and own < OWN * seen.letters.total()


def _is_enough(seen: _Reading) -> bool:
    """Whether a text has something for the model to judge by."""
    words = (word.lstrip(_OPENING) for word in seen.words.split())
    lower = sum(1 for word in words if word and word[0].isalpha() and not word[0].isupper())
    return seen.letters[seen.script] >= LETTERS and lower >= WORDS
