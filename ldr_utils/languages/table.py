"""The languages a study can have, by ISO 639-1 code: all that the study knows of one stands in its record.

Ours are written down here; a study brings records of its own in its params file (``language_records``), see `adopt`.
"""

from __future__ import annotations

import re
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
        Words for powers of ten that stand after digits and make one number with them: 万 is 10,000. A word for 1 only
        begins like one: 千克 is a kilogram. One letter counts as it is written and right after its digits alone.
    units_first : bool
        Whether they and units stand before the digits: mayai elfu 18 are 18,000 eggs.
    numerals : tuple of str
        How number words begin. An answer that is spelled out is not read, and no other number is taken for it.
    ranges : tuple of str
        What stands between the ends of a range, or of a choice, which give no answer: "to"; with what stands before
        them: "between # and".
    question_headings : tuple of str
        What a next question would open with, such as "Question" or "Q:": a model that goes on alone invents one.
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
    units_first: bool = False
    numerals: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    question_headings: tuple[str, ...] = ()
    gram: int = 8
    spaced: bool = True


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


def _listed(line: str) -> tuple[str, ...]:
    return tuple(line.split(" | "))


def _powers(words: Mapping[int, str]) -> tuple[tuple[str, int], ...]:
    return tuple((word, 10**power) for power, line in words.items() for word in _words(line))


CODE = re.compile(r"[a-z]{2,3}(_[A-Za-z0-9]{2,8})?")  # what a study may call a language: pt, pt_BR
FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")  # a language and its script, which identification reads off it
UNSPACED_GRAM = 20  # characters, in a language that ours do not tell of: between Chinese (13) and Thai (36)
_HAN = _powers({2: "百", 3: "千", 4: "万 萬", 8: "亿 億", 12: "兆", 0: "百分 百货 百貨 百合 千葉"})
_HAN_NUMERALS = _words("〇 零 二 三 四 五 六 七 八 九 十 百 千 万 两 兩 一十 一百 一千 一万")
_METRIC = _powers({0: "千克 千米 千瓦 千卡 千焦 千赫 千伏 千帕 千字 千升"})  # kilo-
BUILT_IN: dict[str, Language] = {
    "ar": Language(
        "Arabic",
        "arb_Arab",
        _listed(
            "الجواب هو | الجواب النهائي هو | الجواب الصحيح هو | الإجابة هي | الإجابة النهائية هي | الإجابة الصحيحة "
            "هي | الاجابة هي | الاجابة النهائية هي | الجواب: | الجواب النهائي: | الإجابة: | الإجابة النهائية: | "
            "الاجابة:"
        ),
        magnitudes=_powers(
            {
                3: "ألف الف ألفا ألفاً ألفًا آلاف الاف",
                6: "مليون مليونا مليوناً مليونًا ملايين",
                9: "مليار مليارات",
            }
        ),
        numerals=_words("صفر واحد اثن إثن ثلاث أربع اربع خمس سبع ثمان تسع عشر مئة مائة مئت مائت ألف"),
        ranges=_listed("إلى | الى | حتى | أو | او | بين # و"),
        question_headings=_listed("سؤال | السؤال | مسألة | المسألة | المشكلة | المستخدم"),
    ),
    "bn": Language(
        "Bengali",
        "ben_Beng",
        _listed(
            "উত্তর | উত্তর হল | উত্তর হলো | উত্তর হ'ল | উত্তর হচ্ছে | উত্তর হবে | উত্তর হয় | উত্তরটি | উত্তরটি হল | উত্তরটি হলো"
            " | উত্তরটি হবে | উত্তরটি হচ্ছে | উত্তর:"
        ),
        magnitudes=_powers({3: "হাজার", 5: "লাখ লক্ষ", 6: "মিলিয়ন", 7: "কোটি", 9: "বিলিয়ন"}),
        numerals=_words(
            "শূন্য দুই তিন চার পাঁচ ছয় সাত আট নয় দশ এগার বার তের চৌদ্দ পনের ষোল সতের আঠার উনিশ বিশ কুড়ি ত্রিশ "
            "চল্লিশ পঞ্চাশ ষাট সত্তর আশি নব্বই শত হাজার"
        ),
        ranges=_listed("থেকে | বা | অথবা"),
        question_headings=_listed("প্রশ্ন | সমস্যা | ব্যবহারকারী"),
    ),
    "de": Language(
        "German",
        "deu_Latn",
        _listed(
            "Die Antwort ist | Die Antwort lautet | Antwort ist | Antwort lautet | Die Antwort wäre | Antwort: | "
            "Endergebnis ist | Endergebnis lautet | Endergebnis: | Ergebnis:"
        ),
        decimal_comma=True,
        magnitudes=_powers(
            {
                2: "Hundert",
                3: "Tausend Tsd",
                6: "Million Millionen Mio",
                9: "Milliarde Milliarden Mrd",
                12: "Billion Billionen",
            }
        ),
        numerals=_words(
            "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig hundert tausend"
        ),
        ranges=_listed("bis | bis zu | oder | zwischen # und"),
        question_headings=_listed("Frage | Nächste Frage | Aufgabe | Problem | Benutzer | Nutzer"),
    ),
    "en": Language(
        "English",
        "eng_Latn",
        _listed(
            "The answer is | answer is | answer would be | answer will be | answer should be | answer to the "
            "question is | answer to the problem is | answer to this question is | answer to this problem is | "
            "Answer: | ####"
        ),
        magnitudes=_powers(
            {
                2: "hundred",
                3: "thousand thousands k K",
                5: "lakh lakhs",
                6: "million millions M",
                7: "crore crores",
                9: "billion billions",
                12: "trillion trillions",
            }
        ),
        numerals=_words(
            "zero one two three four five six seven eight nine ten eleven twelve thir fif twenty forty hundred thousand"
        ),
        ranges=_listed("to | through | or | between # and"),
        question_headings=_listed(
            "Question | Next question | New question | Q | Problem | Next problem | New problem | Exercise"
        ),
    ),
    "es": Language(
        "Spanish",
        "spa_Latn",
        _listed(
            "La respuesta es | respuesta final es | respuesta correcta es | respuesta sería | respuesta será | "
            "respuesta a la pregunta es | respuesta al problema es | Respuesta: | Respuesta final: | Respuesta "
            "correcta: | resultado final es | Resultado final:"
        ),
        decimal_comma=True,
        magnitudes=_powers({3: "mil", 6: "millón millones", 12: "billón billones"}),
        numerals=_words(
            "cero uno dos tres cuatro cinco seis siete ocho nueve diez doce trece catorce quince dieci veint "
            "treinta cuarenta cincuenta sesenta setenta ochenta noventa cien quinientos mil"
        ),
        ranges=_listed("a | hasta | o | u | entre # y"),
        question_headings=_listed("Pregunta | Siguiente pregunta | Problema | Ejercicio | Usuario"),
    ),
    "fr": Language(
        "French",
        "fra_Latn",
        _listed(
            "La réponse est | réponse est | réponse finale est | réponse correcte est | réponse serait | réponse à "
            "la question est | réponse au problème est | Réponse: | Réponse finale: | Réponse correcte: | résultat "
            "final est | Résultat final:"
        ),
        decimal_comma=True,
        magnitudes=_powers(
            {
                3: "mille",
                6: "million millions",
                9: "milliard milliards",
                12: "billion billions",
            }
        ),
        numerals=_words(
            "zéro deux trois quatre cinq sept huit neuf dix onze douze treize quatorze quinze seize vingt trente "
            "quarante cinquante soixante mille six"
        ),
        ranges=_listed("à | ou | jusqu'à | entre # et"),
        question_headings=_listed("Question | Question suivante | Problème | Exercice | Utilisateur"),
    ),
    "it": Language(
        "Italian",
        "ita_Latn",
        _listed(
            "La risposta è | risposta finale è | risposta corretta è | risposta esatta è | risposta sarebbe | "
            "risposta alla domanda è | risposta al problema è | Risposta: | Risposta finale: | Risposta corretta: "
            "| risultato finale è | Risultato finale:"
        ),
        decimal_comma=True,
        magnitudes=_powers({3: "mila mille", 6: "milione milioni", 9: "miliardo miliardi"}),
        numerals=_words(
            "zero uno tre quattro cinque sette otto nove dieci undici dodici tredici quattordici quindici sedici "
            "dicia dicio venti trenta quaranta cinquanta sessanta settanta ottanta novanta cento mille due"
        ),
        ranges=_listed("a | o | oppure | fino a | tra # e | fra # e"),
        question_headings=_listed("Domanda | Prossima domanda | Problema | Esercizio | Utente"),
    ),
    "ja": Language(
        "Japanese",
        "jpn_Jpan",
        _listed("答えは | 答えが | 解答は | 回答は | 正解は | 答え: | 解答: | 回答: | 正解: | 答:"),
        magnitudes=_HAN,
        numerals=_HAN_NUMERALS,
        ranges=_listed("から | ないし | または | か"),
        question_headings=_listed("質問 | 問題 | 次の質問 | 次の問題 | 問 | ユーザー"),
        gram=19,
        spaced=False,
    ),
    "ko": Language(
        "Korean",
        "kor_Hang",
        _listed("답은 | 답변은 | 답이 | 답: | 답변:"),
        magnitudes=_powers(
            {2: "백", 3: "천", 4: "만", 8: "억", 12: "조", 0: "백분 백화점 만큼 만약 만일 만들 만에 조각 조건 천천"}
        ),
        numerals=_words(
            "영 하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열 스물 서른 마흔 쉰 십 이십 삼십 사십 오십 육십"
            " 칠십 팔십 구십 백 이백 삼백 사백 오백 육백 칠백 팔백 구백 천 이천 삼천 사천 오천 육천 칠천 팔천 구천"
        ),
        ranges=_listed("에서 | 부터 | 또는 | 혹은"),
        question_headings=_listed("질문 | 다음 질문 | 문제 | 다음 문제 | 사용자"),
    ),
    "ru": Language(
        "Russian",
        "rus_Cyrl",
        _listed("Ответ равен | Ответ это | Ответ будет | Ответ составляет | Ответом будет | Ответом является | Ответ:"),
        decimal_comma=True,
        magnitudes=_powers(
            {
                3: "тысяча тысячи тысяч тысячу тыс",
                6: "миллион миллиона миллионов млн",
                9: "миллиард миллиарда миллиардов млрд",
                12: "триллион триллиона триллионов трлн",
            }
        ),
        numerals=_words(
            "ноль один одна два две три четыре пять шесть семь восемь девять десять одиннадцать двенадцать "
            "тринадцать четырнадцать пятнадцать шестнадцать двадцать сорок пятьдесят сто двести триста тысяч"
        ),
        ranges=_listed("до | или | либо | между # и"),
        question_headings=_listed("Вопрос | Следующий вопрос | Задача | Следующая задача | Пользователь"),
    ),
    "sw": Language(
        "Swahili",
        "swh_Latn",
        _listed(
            "Jibu ni | Jibu la mwisho ni | Jibu sahihi ni | Jibu lake ni | Jibu letu ni | Jibu la swali ni | Jibu "
            "la swali hili ni | Jibu litakuwa | Jibu: | Jibu la mwisho: | Jibu sahihi:"
        ),
        magnitudes=_powers({2: "mia", 3: "elfu", 5: "laki", 6: "milioni", 9: "bilioni"}),
        units_first=True,
        numerals=_words(
            "sifuri moja mbili tatu nne tano sita saba nane tisa kumi ishirini thelathini arobaini hamsini sitini "
            "sabini themanini tisini mia elfu"
        ),
        ranges=_listed("hadi | mpaka | au | kati ya # na"),
        question_headings=_listed("Swali | Swali linalofuata | Tatizo | Mtumiaji"),
    ),
    "te": Language(
        "Telugu",
        "tel_Telu",
        _listed("సమాధానం | జవాబు | సమాధానం: | జవాబు:"),
        magnitudes=_powers(
            {
                2: "వందల వందలు",
                3: "వేలు వేల వెయ్యి",
                5: "లక్షలు లక్షల లక్ష",
                6: "మిలియన్లు మిలియన్ల మిలియన్",
                7: "కోట్లు కోట్ల కోటి",
            }
        ),
        numerals=_words(
            "సున్నా ఒకటి రెండు మూడు నాలుగు ఐదు అయిదు ఆరు ఏడు ఎనిమిది తొమ్మిది పది పదకొండు పన్నెండు పదమూడు "
            "పద్నాలుగు పదిహే పద్దెనిమిది పంతొమ్మిది ఇరవై ముప్పై నలభై యాభై అరవై డెబ్బై ఎనభై తొంభై వంద నూరు వెయ్యి"
        ),
        ranges=_listed("నుండి | నుంచి | లేదా"),
        question_headings=_listed("ప్రశ్న | సమస్య | వినియోగదారు"),
    ),
    "th": Language(
        "Thai",
        "tha_Thai",
        _listed(
            "คำตอบคือ | คำตอบก็คือ | คำตอบสุดท้ายคือ | คำตอบที่ถูกต้องคือ | คำตอบที่ได้คือ | คำตอบของคำถามนี้คือ | "
            "คำตอบของคำถามคือ | คำตอบของโจทย์คือ | คำตอบเท่ากับ | คำตอบ: | คำตอบสุดท้าย: | ตอบ:"
        ),
        magnitudes=_powers({2: "ร้อย", 3: "พัน", 4: "หมื่น", 5: "แสน", 6: "ล้าน", 0: "ร้อยละ พันธุ์"}),
        numerals=_words("ศูนย์ หนึ่ง สอง สาม สี่ ห้า หก เจ็ด แปด เก้า สิบ ยี่สิบ ร้อย พัน"),
        ranges=_listed("ถึง | หรือ | ระหว่าง # และ"),
        question_headings=_listed("คำถาม | คำถามถัดไป | โจทย์ | ปัญหา | ผู้ใช้"),
        gram=36,
        spaced=False,
    ),
    "zh": Language(
        "Chinese",
        "zho_Hans",
        _listed(
            "答案是 | 答案为 | 答案為 | 答案就是 | 答案应该是 | 答案應該是 | 答案应为 | 答案等于 | 答案: | 答:"
            " | 最终结果是 | 最终结果为"
        ),
        magnitudes=(*_HAN, *_METRIC),
        numerals=_HAN_NUMERALS,
        ranges=_listed("到 | 至 | 或 | 或者"),
        question_headings=_listed("问题 | 問題 | 下一个问题 | 下一題 | 题目 | 題目 | 问 | 問 | 用户 | 用戶"),
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
    if key in ("decimal_comma", "units_first", "spaced"):
        if not isinstance(value, bool):
            raise ValueError(f"{where}: give true or false")
    elif key == "gram":
        if type(value) is not int or not 1 <= value <= 100:
            raise ValueError(f"{where}: give a number of words or characters, from 1 to 100")
    elif key == "magnitudes":
        if not isinstance(value, Mapping) or not all(_is_word(word) and _is_power(n) for word, n in value.items()):
            raise ValueError(f"{where}: give words and the powers of ten that they stand for, such as {{mil: 1000}}")
        return tuple(value.items())
    elif key in ("answer_phrases", "numerals", "ranges", "question_headings"):
        if not isinstance(value, list | tuple) or not all(map(_is_word, value)) or (key[0] == "a" and not value):
            raise ValueError(f"{where}: give a list of phrases, such as [The answer is, 'Answer:']")
        return tuple(value)
    elif key == "flores" and not (isinstance(value, str) and FLORES.fullmatch(value)):
        raise ValueError(f"{where}: give its FLORES-200 code, such as por_Latn")
    elif not _is_word(value):
        raise ValueError(f"{where}: give a text of at most 80 characters")
    return value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) == len(value) <= 80


def _is_power(value: Any) -> bool:
    return type(value) is int and value >= 1 and str(value).strip("0") == "1"


def adopt(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Make ``LANGUAGES`` what the study at hand knows: ours, and its own ``records`` (see `record_of`)."""
    LANGUAGES.clear()
    LANGUAGES.update(BUILT_IN | {lang: record_of(lang, values) for lang, values in records.items()})
