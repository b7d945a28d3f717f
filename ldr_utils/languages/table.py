"""The languages a study can have, by ISO 639-1 code: all that the study knows of one stands in its record here."""

from __future__ import annotations

from dataclasses import dataclass


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
    myriads : bool
        Whether numbers are counted in units of 10,000 (万).
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
    myriads: bool = False
    gram: int = 8
    spaced: bool = True


LANGUAGES: dict[str, Language] = {
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
        myriads=True,
        gram=19,
        spaced=False,
    ),
    "ko": Language("Korean", "kor_Hang", ("답은", "답:"), myriads=True),
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
        myriads=True,
        gram=13,
        spaced=False,
    ),
}

NAMES = {code: language.name for code, language in LANGUAGES.items()}
