"""The languages a study can have, by ISO 639-1 code: all that the study knows of one stands in its record.

Ours are written down here; a study brings records of its own in its params file (``language_records``), see `adopt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes
    ----------
    name : str
        In English, as prompts say it.
    flores : str
        Its FLORES-200 code, by which NLLB knows it.
    answer_phrases : tuple of str
        What introduces the result of a word problem. A phrase that ends in ":" is a heading: working may follow it, so
        it counts only directly before its number.
    decimal_comma : bool
        Whether numbers are written with a comma before decimals and points or spaces between thousands.
    magnitudes : tuple of (str, int)
        Words for powers of ten that stand after digits and make one number with them: 万 is 10,000.
    question_headings : tuple of str
        What a next question would open with, such as "Question" or "Q": a model that goes on alone invents one.
    gram : int
        Words, or characters where there are no spaces, of an n-gram as long as 8 English words in MGSM and
        X-AlpacaEval, on average.
    spaced : bool
        Whether words are written with spaces between them.
    """

    name: str
    flores: str
    answer_phrases: tuple[str, ...]
    decimal_comma: bool = False
    magnitudes: tuple[tuple[str, int], ...] = ()
    question_headings: tuple[str, ...] = ()
    gram: int = 8
    spaced: bool = True


UNSPACED_GRAM = 20  # characters, in a language that ours do not tell of: between Chinese (13) and Thai (36)
_HAN = (("万", 10**4), ("萬", 10**4))
BUILT_IN: dict[str, Language] = {
    "ar": Language(
        "Arabic",
        "arb_Arab",
        ("الجواب هو", "الجواب النهائي هو", "الإجابة هي", "الإجابة النهائية هي", "الجواب:", "الإجابة:"),
    ),
    "bn": Language("Bengali", "ben_Beng", ("উত্তর হল", "উত্তর হলো", "উত্তর হচ্ছে", "উত্তর হবে", "উত্তরটি হল", "উত্তর:")),
    "de": Language(
        "German",
        "deu_Latn",
        ("Die Antwort ist", "Die Antwort lautet", "Antwort ist", "Antwort lautet", "Antwort:"),
        decimal_comma=True,
    ),
    "en": Language("English", "eng_Latn", ("The answer is", "answer is", "Answer:", "####")),
    "es": Language(
        "Spanish",
        "spa_Latn",
        ("La respuesta es", "respuesta final es", "respuesta correcta es", "Respuesta:", "Respuesta final:"),
        decimal_comma=True,
    ),
    "fr": Language(
        "French",
        "fra_Latn",
        ("La réponse est", "réponse finale est", "réponse correcte est", "Réponse:", "Réponse finale:"),
        decimal_comma=True,
    ),
    "it": Language(
        "Italian",
        "ita_Latn",
        ("La risposta è", "risposta finale è", "risposta corretta è", "Risposta:", "Risposta finale:"),
        decimal_comma=True,
    ),
    "ja": Language(
        "Japanese",
        "jpn_Jpan",
        ("答えは", "解答は", "答え:", "解答:", "回答:", "答:"),
        magnitudes=_HAN,
        gram=19,
        spaced=False,
    ),
    "ko": Language("Korean", "kor_Hang", ("답은", "답:"), magnitudes=(("만", 10**4),)),
    "ru": Language("Russian", "rus_Cyrl", ("Ответ равен", "Ответ это", "Ответ:"), decimal_comma=True),
    "sw": Language("Swahili", "swh_Latn", ("Jibu ni", "Jibu la mwisho ni", "Jibu sahihi ni", "Jibu:")),
    "te": Language("Telugu", "tel_Telu", ("సమాధానం", "జవాబు", "సమాధానం:", "జవాబు:")),
    "th": Language(
        "Thai",
        "tha_Thai",
        ("คำตอบคือ", "คำตอบสุดท้ายคือ", "คำตอบที่ถูกต้องคือ", "คำตอบ:", "ตอบ:"),
        gram=36,
        spaced=False,
    ),
    "zh": Language(
        "Chinese",
        "zho_Hans",
        ("答案是", "答案为", "答案為", "答案:", "答:"),
        magnitudes=_HAN,
        gram=13,
        spaced=False,
    ),
}

LANGUAGES: dict[str, Language] = dict(BUILT_IN)  # ours, and those of the study that this process works on


def record_of(lang: str, values: Mapping[str, Any]) -> Language:
    """Build a language from the plain values that a params file has.

    Parameters
    ----------
    lang : str
        Its code.
    values : mapping
        The attributes of `Language`, with lists for tuples and a mapping of word to number for ``magnitudes``; for a
        language that is ours, those in which it differs.

    Raises
    ------
    ValueError
        One line, when a key is unknown, lacks or has a value of another kind.
    """
    known = {field.name for field in fields(Language)}
    if unknown := [str(key) for key in values if key not in known]:
        raise ValueError(f"{lang}.{unknown[0][:40]}: is not known; choose from {', '.join(sorted(known))}")
    given = {key: _checked(f"{lang}.{key}", key, value) for key, value in values.items()}
    base = {field.name: getattr(BUILT_IN[lang], field.name) for field in fields(Language)} if lang in BUILT_IN else {}
    if not given.get("spaced", True) and "gram" not in {**base, **given}:
        given["gram"] = UNSPACED_GRAM
    if missing := [key for key in ("name", "flores", "answer_phrases") if key not in {**base, **given}]:
        raise ValueError(f"{lang}.{missing[0]}: is missing; add it")
    return Language(**{**base, **given})


def _checked(where: str, key: str, value: Any) -> Any:
    """A value of a record, in the form that `Language` has it."""
    if key in ("decimal_comma", "spaced"):
        if not isinstance(value, bool):
            raise ValueError(f"{where}: give true or false")
    elif key == "gram":
        if type(value) is not int or not 1 <= value <= 100:
            raise ValueError(f"{where}: give a number of words or characters, from 1 to 100")
    elif key == "magnitudes":
        if not isinstance(value, Mapping) or not all(_is_word(word) and _is_power(n) for word, n in value.items()):
            raise ValueError(f"{where}: give words and the powers of ten that they stand for, such as {{mil: 1000}}")
        return tuple(value.items())
    elif key in ("answer_phrases", "question_headings"):
        if not isinstance(value, list | tuple) or not all(map(_is_word, value)) or (key[0] == "a" and not value):
            raise ValueError(f"{where}: give a list of phrases, such as [The answer is, 'Answer:']")
        return tuple(value)
    elif not _is_word(value):
        raise ValueError(f"{where}: give a text of at most 80 characters")
    return value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) == len(value) <= 80


def _is_power(value: Any) -> bool:
    return type(value) is int and value > 1 and str(value).strip("0") == "1"


def adopt(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Make ``LANGUAGES`` what the study at hand knows: ours, and its own ``records`` (see `record_of`)."""
    LANGUAGES.clear()
    LANGUAGES.update(BUILT_IN | {lang: record_of(lang, values) for lang, values in records.items()})
