"""Tests of the MGSM grader: every gold answer in the styles that models use, then each known fault by hand."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldr_utils.languages.numbers import Extraction, extract, gold_number, parse_number
from ldr_utils.languages.table import LANGUAGES as TABLE
from ldr_utils.languages.table import record_of

MGSM_LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
LANGUAGES = (*MGSM_LANGUAGES, "ar", "it", "ko")

# Written out here, not taken from the table, so that a phrase lost there fails.
SENTENCE = {
    "ar": "إذن الجواب هو {}.",
    "bn": "সুতরাং উত্তর হল {}।",
    "de": "Die Antwort lautet {}.",
    "en": "Therefore, the answer is {}.",
    "es": "Por lo tanto, la respuesta es {}.",
    "fr": "Donc la réponse est {}.",
    "it": "Quindi la risposta è {}.",
    "ja": "したがって、答えは{}です。",
    "ko": "따라서 답은 {}입니다.",
    "ru": "Ответ: {}.",
    "sw": "Kwa hivyo jibu ni {}.",
    "te": "కాబట్టి సమాధానం {}.",
    "th": "ดังนั้นคำตอบคือ {}",
    "zh": "所以答案是{}。",
}
HEADING = {
    "ar": "الإجابة: {}",
    "bn": "উত্তর: {}",
    "de": "Antwort: {}",
    "en": "Answer: {}",
    "es": "Respuesta: {}",
    "fr": "Réponse\u00a0: {}",
    "it": "Risposta: {}",
    "ja": "答え：{}",
    "ko": "답: {}",
    "ru": "Ответ — {}",
    "sw": "Jibu: {}",
    "te": "సమాధానం: {}",
    "th": "คำตอบ: {}",
    "zh": "答案：{}",
}
UNIT = {
    "ar": " كجم", "bn": "টি", "de": " Euro", "en": " dollars", "es": " dólares", "fr": " euros", "it": " euro",
    "ja": "個", "ko": "개", "ru": " руб.", "sw": "kg", "te": " గుడ్లు", "th": " บาท", "zh": "元",
}  # fmt: skip
GROUP = {"de": ".", "es": ".", "it": ".", "fr": "\u202f", "ru": "\u00a0", "ar": "٬"}
POINT = dict.fromkeys(("de", "es", "fr", "it", "ru"), ",")
ZERO = {"ar": "٠", "bn": "০", "te": "౦", "th": "๐", "ja": "０", "zh": "０"}


def is_correct(text: str, gold: str | int | float, lang: str) -> bool:
    return extract(text, lang).value == gold_number(gold)


def native(text: str, lang: str) -> str:
    return text.translate({ord("0") + i: chr(ord(ZERO.get(lang, "0")) + i) for i in range(10)})


def grouped(number: int, lang: str) -> str:
    return f"{number:,}".replace(",", GROUP.get(lang, ","))


def indian(number: int) -> str:
    sign, digits = "-" * (number < 0), str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return sign + ",".join([*pairs, tail])


def styles(number: int, lang: str) -> dict[str, str]:
    """A completion in every style that ends in this number."""
    sentence, heading, sign, size = SENTENCE[lang], HEADING[lang], "-" * (number < 0), abs(number)
    return {
        "plain": f"{number}",
        "full stop": f"{number}.",
        "sentence": sentence.format(number),
        "bold": sentence.format(f"**{number}**"),
        "bold sentence": f"**{heading.format(number)}**",
        "boxed": f"3 + 4 = 7\n\n$$\\boxed{{{number}}}$$",
        "boxed with unit": f"\\[ \\boxed{{{number} \\text{{ m}}^2}} \\]",
        "dollar maths": sentence.format(f"${number}$"),
        "parenthesis maths": sentence.format(f"\\({number}\\)"),
        "currency before": sentence.format(f"{sign}${size}"),
        "currency code before": sentence.format(f"USD {number}"),
        "currency after": sentence.format(f"{number} €"),
        "grouped": sentence.format(grouped(number, lang)),
        "Indian groups": sentence.format(indian(number)),
        "apostrophe groups": sentence.format(grouped(number, lang).replace(GROUP.get(lang, ","), "’")),
        "zero cents": sentence.format(f"{grouped(number, lang)}{POINT.get(lang, '.')}00"),
        "point cents": sentence.format(f"{number}.00"),
        "native digits": sentence.format(native(f"{number}", lang)),
        "native grouped": sentence.format(native(grouped(number, lang), lang)),
        "equation": f"16 - 3 - 4 = 9\n9 × 2 = {number}",
        "unit": sentence.format(f"{number}{UNIT[lang]}"),
        "heading": heading.format(number),
        "English heading": f"9 * 2\n\n### Answer:\n{number}",
        "trailing words": f"{sentence.format(number)} I hope this helps!",
        "trailing number": f"{sentence.format(number)}\nCheck: 40 / 5 is 8",
    }


def decimal_styles(number: int, lang: str) -> dict[str, str]:
    """Completions whose number is half above this one."""
    sentence, point = SENTENCE[lang], POINT.get(lang, ".")
    return {
        "sentence": sentence.format(f"{number}.5"),
        "locale": sentence.format(f"{grouped(number, lang)}{point}50"),
        "bold": sentence.format(f"**{number}.5**"),
        "boxed": f"$$\\boxed{{{number}.50}}$$",
        "currency": sentence.format(f"${number}.50"),
        "native": sentence.format(native(f"{grouped(number, lang)}{point}5", lang)),
        "equation": f"9 + 9 = {number}.5",
        "unit": sentence.format(f"{number}{point}5{UNIT[lang]}"),
        "heading": HEADING[lang].format(f"{number}{point}5"),
        "trailing number": f"{sentence.format(f'{number}.5')}\nCheck: 40 / 5 is {number}",
    }


def golds(folder: Path, lang: str) -> list[str]:
    with (folder / "mgsm" / f"mgsm_{lang}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line)["response"] for line in file]


@pytest.mark.parametrize("lang", MGSM_LANGUAGES)
def test_every_gold_answer_is_right_in_every_style_and_wrong_when_changed(real_data: Path, lang: str) -> None:
    rows = golds(real_data, lang)
    assert len(rows) == 250
    # Rows that share a gold answer would repeat the same calls.
    for gold in sorted(set(rows)):
        number = int(gold.replace(",", ""))
        assert number > 0
        for style, text in styles(number, lang).items():
            assert is_correct(text, gold, lang), (style, text)
        for wrong in (number + 1, number - 1, number * 10, number * 100, -number):
            for style, text in styles(wrong, lang).items():
                assert not is_correct(text, gold, lang), (style, text)
        for style, text in decimal_styles(number, lang).items():
            assert not is_correct(text, gold, lang), (style, text)
            assert is_correct(text, number + 0.5, lang), (style, text)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("number", [0, 7, -18, 694, 2125, -114200, 1234567])
def test_styles_in_every_language(lang: str, number: int) -> None:
    for style, text in styles(number, lang).items():
        assert is_correct(text, number, lang), (style, text)
        assert not is_correct(text, number + 1, lang), (style, text)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_listed_phrase_and_every_english_one_wins_over_the_last_number(lang: str) -> None:
    for phrase in (*TABLE[lang].answer_phrases, *TABLE["en"].answer_phrases):
        assert extract(f"{phrase} 18\nCheck: 9 and 5", lang) == Extraction(Decimal(18), Decimal(5)), phrase


NUMBERS = [
    # separators
    ("1,234", "en", "1234"),
    ("1,234", "de", "1234"),
    ("1.234", "de", "1234"),
    ("1.234", "es", "1234"),
    ("1.234", "it", "1234"),
    ("1.234", "en", "1.234"),
    ("1.234", "th", "1.234"),
    ("18,00", "de", "18"),
    ("18,00", "ru", "18"),
    ("18.00", "de", "18"),
    ("18.00", "fr", "18"),
    ("18,5", "fr", "18.5"),
    ("0,125", "de", "0.125"),
    ("0.125", "de", "0.125"),
    ("1234,567", "de", "1234.567"),
    ("1,234.56", "de", "1234.56"),
    ("1.234,56", "en", "1234.56"),
    ("1.234.567,5", "it", "1234567.5"),
    ("1\u00a0234", "fr", "1234"),
    ("1\u202f234,50", "fr", "1234.5"),
    ("1\u2009234", "en", "1234"),
    ("12 345", "ru", "12345"),
    ("12 345", "en", None),
    ("1'234'567", "de", "1234567"),
    ("1’234.50", "fr", "1234.5"),
    ("1,00,000", "bn", "100000"),
    ("12,34,567.5", "te", "1234567.5"),
    ("1{,}234", "en", "1234"),
    ("1\\,234", "en", "1234"),
    ("1，234", "zh", "1234"),
    (".75", "en", "0.75"),
    ("$.75", "en", "0.75"),
    ("1,2,3", "en", None),
    ("12.05.2020", "de", None),
    ("1.234.56", "de", None),
    ("1,00,000,5", "en", None),
    # scripts
    ("๑๘", "th", "18"),
    ("১৮", "bn", "18"),
    ("౧౮", "te", "18"),
    ("١٬٢٣٤٫٥", "ar", "1234.5"),
    ("١٨٫٥٠٠", "ar", "18.5"),
    ("１，２３４．５", "ja", "1234.5"),
    ("7万", "zh", "70000"),
    ("5万7,500円", "ja", "57500"),
    ("27만 6000원", "ko", "276000"),
    # signs
    ("-5", "en", "-5"),
    ("−5", "en", "-5"),
    ("－５", "ja", "-5"),
    ("\u200f-5", "ar", "-5"),
    ("-$5", "en", "-5"),
    ("$-5", "en", "-5"),
    ("-\\$5", "en", "-5"),
    ("-1,234.5", "en", "-1234.5"),
    ("= - 5", "en", "-5"),
    ("A-5", "en", "5"),
    ("COVID-19", "en", "19"),
    ("- 5 apples", "en", "5"),
    ("12-18", "en", None),
    # fractions
    ("1/2", "en", "0.5"),
    ("-1/2", "en", "-0.5"),
    ("9/8", "de", "1.125"),
    ("1 1/2", "en", "1.5"),
    ("2½", "en", "2.5"),
    ("\\frac{36}{2}", "en", "18"),
    ("7 36/2", "en", None),
    ("12/05/2020", "en", None),
    ("5/0", "en", None),
    # what stands around
    ("**18**", "en", "18"),
    ("2**3", "en", None),
    ("$18$", "en", "18"),
    ("18%", "en", "18"),
    ("18kg", "en", "18"),
    ("18 руб.", "ru", "18"),
    ("¥18", "ja", "18"),
    ("৳১৮", "bn", "18"),
    ("₹18", "te", "18"),
    ("Rs.18", "te", "18"),
    ("18 m²", "en", "18"),
    ("18 m^2", "en", "18"),
    ("18.", "en", "18"),
    ("", "en", None),
    ("none", "en", None),
]


@pytest.mark.parametrize(("token", "lang", "expected"), NUMBERS)
def test_parse_number(token: str, lang: str, expected: str | None) -> None:
    assert parse_number(token, lang) == (None if expected is None else Decimal(expected))


ANSWERS = [
    # phrase against last
    ("The answer is 18. She sold 5 of 9.", "en", 18),
    ("The answer is 9.\nWait, no. The answer is 18. That took 2 tries.", "en", 18),
    ("The answer is **18** since 5 + 4 = 9.", "en", 18),
    ("The answer is that she makes 18 dollars. There are 7 days.", "en", 18),
    ("The answer is the sum of 9 and 9, which is 18", "en", 18),
    ("The answer is not clear. Let me count: 18", "en", 18),
    ("Die Antwort ist \\boxed{18}. Das sind 2 Tage.", "de", 18),
    ("The answer is 3.\nNo: \\boxed{18} in 2 days", "en", 18),
    ("La réponse\nest 18. Voir 2.", "fr", 18),
    ("THE ANSWER IS 18, not 17", "en", 18),
    ("The **answer** is 18, not 17", "en", 18),
    ("De\u0301sole\u0301. La re\u0301ponse est 18. Voir 2.", "fr", 18),
    # equations
    ("The answer is 3 x 6 = 18 eggs over 7 days", "en", 18),
    ("The answer is $20 - $2 = $18 for 7 days", "en", 18),
    ("The answer is $2 \\times 9 = 18$ for 7 days", "en", 18),
    ("The answer is 18 dollars = 1800 cents", "en", 18),
    ("答案是 2 × 9 = 18 元，7 天", "zh", 18),
    ("So she has 20-2=18", "en", 18),
    # headings, below which working may follow
    ("Answer: 16 - 3 - 4 = 9 eggs are left. 9 * 2 = 18", "en", 18),
    ("Here is the answer:\n1. There are 16 eggs.\n2. So she makes 18", "en", 18),
    ("Here is the answer:\n- 16 eggs a day\n- 18 dollars", "en", 18),
    ("## Answer\n\n18\n\nIt took 2 steps", "en", 18),
    ("**Answer**: 18 of 20", "en", 18),
    ("work 3\n#### 18", "en", 18),
    ("Ответ - 18 из 20", "ru", 18),
    # boxes
    ("\\boxed{x = 18}, 2 steps", "en", 18),
    ("\\boxed{\\text{Total: } 18\\text{ m}}, 2 steps", "en", 18),
    ("\\boxed{20 - 2 = 18}, 2 steps", "en", 18),
    ("\\boxed{\\$1{,}234}", "en", 1234),
    # signs and dashes
    ("答案是-18，一共2步", "zh", -18),
    ("The answer is −18 degrees on 2 days", "en", -18),
    ("Temperature: 2 - 20 = -18", "en", -18),
    ("Choose between 12-18", "en", 18),
    ("Choose between 12–18", "en", 18),
    ("\n- 18 apples", "en", 18),
    ("between $12-$18", "en", 18),
    # decimals and golds
    ("Die Antwort ist 2.125 Euro", "de", "2,125"),
    ("Die Antwort ist 2,125 Euro", "de", "2,125"),
    ("the answer is 0.1", "en", 0.1),
    ("the answer is 18.0", "en", 18.0),
]


@pytest.mark.parametrize(("text", "lang", "gold"), ANSWERS)
def test_answer_of_a_text(text: str, lang: str, gold: str | int | float) -> None:
    assert is_correct(text, gold, lang), extract(text, lang)


WRONG = [
    ("The answer is 18.00", "de", 1800),
    ("The answer is 18,00", "en", 1800),
    ("The answer is 1.234", "en", 1234),
    ("The answer is 181", "en", 18),
    ("The answer is 18.5", "en", 18),
    ("I do not know", "en", 0),
    ("", "en", 0),
    ("The answer is 17. Not 18", "en", 18),
    ("sold 20 -18", "en", -18),
    ("5(2 + 3)-18", "en", -18),
]


@pytest.mark.parametrize(("text", "lang", "gold"), WRONG)
def test_wrong_answer_of_a_text(text: str, lang: str, gold: int) -> None:
    assert not is_correct(text, gold, lang), extract(text, lang)


# Each kind of fault with the value that is right; None: no rule can tell, so nothing is guessed.
READ = [
    # an invented next turn
    ("#### 18\n\nQuestion: Tom has 3 cats and buys 4. How many?\nAnswer: 3+4=7\n#### 7", "en", 18),
    ("The answer is 18.\n\nQuestion: Tom has 3 cats. How many?\nThe answer is 3.", "en", 18),
    ("She makes 18 dollars.\n\n**Question 2:** Tom has 3 cats.", "en", 18),
    ("The answer is 18.assistant\n\nThe answer is 3.", "en", 18),
    ("The answer is 18.<|im_end|>\n<|im_start|>user\nTom has 3 cats.", "en", 18),
    ("18 [INST] Tom has 3 cats. [/INST] 3", "en", 18),
    ("18\n\n### Instruction:\nTom has 3 cats.", "en", 18),
    ("A: 18\n\nQ: Tom has 3 cats.\nA: 3", "en", 18),
    ("Son 18.\n\nQuestion: Tom has 3 cats.", "es", 18),
    ("Question: Janet has 16 eggs. How many?\nAnswer: 18", "en", 18),
    ("**Problem:** 16 eggs, 3 of them eaten.\n**Question:** How many?\n**Solution:** 2 * 9 = 18", "en", 18),
    ("Дано: 16 яиц, 3 съедены.\nВопрос: сколько?\nОтвет: 18", "ru", 18),
    ("<|im_start|>assistant\nThe answer is 18", "en", 18),
    # thoughts
    ("<think>maybe The answer is 5</think>\nShe earns 18 dollars a day.", "en", 18),
    ("The answer is 5</think>\nShe earns 18 dollars a day.", "en", 18),
    ("<think>The answer is 18. wait", "en", None),
    ("Well: 9.\n<think>The answer is 18. wait", "en", None),
    ("18<|im_end|>\n<|im_start|>user\n3?<|im_start|>assistant\n<think>\nSo 3", "en", 18),
    ("<think>\nQuestion: 16 eggs\n</think>\n18", "en", 18),
    # magnitudes
    ("所以总共是1万8千元", "zh", 18000),
    ("3千", "zh", 3000),
    ("5百", "ja", 500),
    ("1億", "ja", 10**8),
    ("2억", "ko", 2 * 10**8),
    ("１２万", "ja", 120000),
    ("3.5万", "zh", 35000),
    ("1만 8천", "ko", 18000),
    ("2억 5천만", "ko", 250_000_000),
    ("1億2345万6789", "ja", 123_456_789),
    ("3百万", "ja", 3_000_000),
    ("5千克", "zh", 5),
    ("피자 8조각", "ko", 8),
    ("5만큼", "ko", 5),
    ("50百分点", "zh", 50),
    ("一共7天，答案是1万八千元", "zh", None),
    ("三千5百", "zh", None),
    ("1万8", "zh", None),
    ("2,5 Millionen", "de", 2_500_000),
    ("La respuesta es 3 mil en 2 días", "es", 3000),
    ("mil 800", "es", None),
    ("Ответ: 18 тысяч 500 рублей", "ru", 18500),
    ("18 тыс. рублей", "ru", 18000),
    ("18mila", "it", 18000),
    ("5 ล้านบาท", "th", 5_000_000),
    ("3 แสน 5 หมื่น", "th", 350_000),
    ("18 ألف دولار", "ar", 18000),
    ("2 مليون و 300 ألف", "ar", 2_300_000),
    ("৫ লাখ ২০ হাজার টাকা", "bn", 520_000),
    ("2 కోట్లు", "te", 20_000_000),
    ("Jibu ni elfu 18 kwa siku 3", "sw", 18000),
    ("Jibu ni milioni 2 na elfu 500.", "sw", 2_500_000),
    ("elfu moja na 800", "sw", None),
    ("$40000 miaka minne", "sw", 40000),
    ("18 milk bottles", "es", 18),
    ("5 million", "zh", 5_000_000),
    ("The answer is $70k", "en", 70000),
    ("2k = 36, so k = 18", "en", 18),
    ("\\boxed{5 \\text{ million}}", "en", 5_000_000),
    ("The answer is 2 1/2 million", "en", 2_500_000),
    ("The answer is 18 thousand five hundred. 3 days", "en", None),
    ("5 thousand, 3 thousand", "en", 3000),
    # a number that is an expression
    ("The answer is 5^2 = 25 of 30", "en", 25),
    ("5² = 25", "en", 25),
    ("The answer is 5² = 25 of 30", "en", 25),
    ("The answer is 2^{3} = 8 of 30", "en", 8),
    ("The answer is 5**2 = 25 of 30", "en", 25),
    ("The answer is √144 = 12 of 30", "en", 12),
    ("The answer is 25% of 72 = 18 of 30", "en", 18),
    ("The answer is 2 dozen = 24 of 30", "en", 24),
    ("Answer: 12 hours 30 minutes = 750 minutes. It took 2 steps", "en", 750),
    ("The answer is 5 ft 3 in = 63 in, not 2", "en", 63),
    ("Die Antwort ist 12 Stunden und 30 Minuten = 750 Minuten. 3", "de", 750),
    ("答えは12時間30分 = 750分、3", "ja", 750),
    ("The answer is 18 of 20 = 90 %", "en", 18),
    # accents
    ("La reponse est 18 et il en reste 3", "fr", 18),
    ("LA RÉPONSE EST 18 ET IL EN RESTE 3", "fr", 18),
    ("La risposta e 18 su 20", "it", 18),
    ("La risposta e' 18 su 20", "it", 18),
    ("La risposta è che sono 18 su tutti. 3", "it", 18),
    ("La risposta e la domanda 5.\n9 + 9 = 18", "it", 18),
    # thousands after a plain space
    ("Jibu ni 1 800", "sw", 1800),
    ("The answer is 1 800 of 3", "en", 1800),
    ("\\boxed{1 234 567} of 3", "en", 1234567),
    ("The answer is 3 400-gram bags", "en", 3),
    # times, ranges, choices, dates, lists
    ("At 9. The answer is 3:30", "en", None),
    ("答えは3時30分です", "ja", None),
    ("The answer is 18–20", "en", None),
    ("Answer: 18–20", "en", None),
    ("The answer is $18-$20", "en", None),
    ("The answer is 18 km - 20 km", "en", None),
    ("The answer is between 18 and 20.", "en", None),
    ("The answer is 20 - 2", "en", None),
    ("5. The answer is 12/05/2020", "en", None),
    ("The answer is 12.05.2020", "en", None),
    ("The answer is 1,2,3", "en", None),
    ("The answer is 18\n- 5 apples", "en", 18),
    # what is spelled out
    ("9 left. The answer is eighteen.", "en", None),
    ("The answer is eighteen dollars.\nCheck: 40 / 5 is 8", "en", None),
    ("Quedan 9. La respuesta es dieciocho.", "es", None),
    ("一共7天。答案是十八。", "zh", None),
    ("9 left, 18 dollars. I hope the answer is helpful.", "en", 18),
]


@pytest.mark.parametrize(("text", "lang", "value"), READ)
def test_every_kind_of_answer_is_read_whole_or_not_at_all(text: str, lang: str, value: int | None) -> None:
    assert extract(text, lang).value == value


# What models say, with another number behind it.
SAID = [
    ("de", "**Antwort:** 18 $ für 9 Eier"),
    ("de", "Die endgültige Antwort lautet: 18 US-Dollar, 9 Eier"),
    ("es", "La respuesta final es: **18 dólares** por 9 huevos"),
    ("es", "Por lo tanto, la respuesta es de 18 dólares por 9 huevos"),
    ("fr", "**Réponse finale :** 18 $ pour 9 œufs"),
    ("fr", "La bonne réponse est 18 pour 9 œufs"),
    ("it", "**Risposta finale:** 18 dollari per 9 uova"),
    ("ru", "Итоговый ответ: 18 долларов за 9 яиц"),
    ("zh", "所以最终答案是：18 美元，共9个"),
    ("ja", "なので、答えは18ドルです。9個"),
    ("ja", "【答え】18ドル、9個"),
    ("ko", "따라서 정답은 18달러입니다. 9개"),
    ("ko", "최종 답변: 18달러, 9개"),
    ("sw", "Kwa hiyo jibu ni mayai 18 kwa siku 9"),
    ("sw", "Jibu la mwisho: $18 kwa mayai 9"),
    ("te", "కాబట్టి సమాధానం $18, 9"),
    ("bn", "সুতরাং উত্তর ১৮, ৯"),
    ("bn", "উত্তরঃ ১৮ ডলার, ৯"),
    ("th", "ดังนั้นคำตอบสุดท้ายคือ 18 ดอลลาร์ 9 ฟอง"),
    ("ar", "إذن، الإجابة النهائية هي 18 دولارا مقابل 9"),
    ("en", '{"answer": 18, "steps": 9}'),
    ("en", "The answer is x = 18, not 9"),
]


@pytest.mark.parametrize(("lang", "text"), SAID)
def test_what_models_say_before_an_answer(lang: str, text: str) -> None:
    assert extract(text, lang) == Extraction(Decimal(18), Decimal(9))


# Written out here too.
TURN = {
    "ar": "سؤال: 3؟", "bn": "প্রশ্ন: ৩?", "de": "Frage: 3?", "en": "Question: 3?", "es": "Pregunta: ¿3?",
    "fr": "Question\u00a0: 3 ?", "it": "Domanda: 3?", "ja": "質問：3", "ko": "질문: 3", "ru": "Вопрос: 3?",
    "sw": "Swali: 3?", "te": "ప్రశ్న: 3?", "th": "คำถาม: 3", "zh": "问题：3",
}  # fmt: skip
ANY_TURN = ("Q: 3?", "### Problem 2\n3?", "User: 3?", "Human: 3?", "<|im_start|>user\n3?", "[INST] 3?", "</s>3?")
THOUGHT = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|channel|>analysis", "<|channel|>final<|message|>"))
RANGE = {
    "ar": "18 إلى 20", "bn": "18 থেকে 20", "de": "18 bis 20", "en": "18 to 20", "es": "18 a 20", "fr": "18 à 20",
    "it": "18 a 20", "ja": "18から20", "ko": "18에서 20", "ru": "18 до 20", "sw": "18 hadi 20", "te": "18 నుండి 20",
    "th": "18 ถึง 20", "zh": "18到20",
}  # fmt: skip


@pytest.mark.parametrize("lang", LANGUAGES)
def test_neither_a_next_turn_nor_a_thought_changes_an_answer(lang: str) -> None:
    for style, text in styles(1800, lang).items():
        for turn in (TURN[lang], *ANY_TURN):
            invented = f"{text}\n\n{turn}\n{SENTENCE[lang].format(5)}"
            assert extract(invented, lang) == extract(text, lang), (style, invented)
        for opens, closes in THOUGHT:
            assert extract(f"{opens}\n{SENTENCE[lang].format(5)}\n{closes}\n{text}", lang) == extract(text, lang)
            assert extract(f"{opens}\n{text}", lang).value is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_range_or_a_time_or_spelled_digits_are_no_answer(lang: str) -> None:
    for said in (RANGE[lang], "18–20", "18 ~ 20", "3:30", TABLE[lang].numerals[5]):
        for form in (SENTENCE, HEADING):
            assert extract(f"7 + 2 = 9\n{form[lang].format(said)}", lang).value is None, said


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_magnitude_and_a_plain_space_make_one_number_in_every_form(lang: str) -> None:
    own = {word.casefold() for word, _ in TABLE[lang].magnitudes}
    english = [(word, power) for word, power in TABLE["en"].magnitudes if word not in own]
    for word, power in (*TABLE[lang].magnitudes, *english):
        first = TABLE[lang].units_first and (word, power) in TABLE[lang].magnitudes
        said = f"{word} 18" if first else f"18{word}" if len(word) == 1 else f"18 {word}"
        for form in (SENTENCE, HEADING):
            assert extract(form[lang].format(said), lang).phrase == 18 * power, said
    assert extract(SENTENCE[lang].format("1 234 567"), lang).phrase == 1234567


@pytest.mark.parametrize("lang", ["de", "es", "fr", "it", "ru"])
def test_a_phrase_is_known_without_its_accents(lang: str) -> None:
    for phrase in TABLE[lang].answer_phrases:
        bare = "".join(c for c in unicodedata.normalize("NFD", phrase) if not unicodedata.combining(c))
        assert extract(f"{bare.upper()} 18 / 9 = 2\n5", lang) == extract(f"{phrase} 18 / 9 = 2\n5", lang)
        assert extract(f"{bare.lower()} 18\n5", lang).phrase == 18


def test_a_language_of_a_study_has_its_own_words_and_the_english_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "name": "Dutch", "flores": "nld_Latn", "answer_phrases": ["Het antwoord is"], "decimal_comma": True,
        "magnitudes": {"miljoen": 10**6, "duizend": 1000}, "question_headings": ["Vraag"], "ranges": ["tot"],
        "numerals": ["achttien"],
    }  # fmt: skip
    monkeypatch.setitem(TABLE, "nl", record_of("nl", own))
    for text, value in {
        "Het antwoord is 2,5 miljoen in 3 jaar.\n\nVraag: 4?\nHet antwoord is 5.": 2_500_000,
        "Het antwoord is 18 duizend 500 in 3 jaar": 18500,
        "Het antwoord is 18 tot 20": None,
        "9. Het antwoord is achttien.": None,
        "The answer is 5 million.\n\nQuestion: 4": 5_000_000,
    }.items():
        assert extract(text, "nl").value == value, text


def test_extraction_tells_phrase_from_last() -> None:
    assert extract("3 and 4", "en") == Extraction(None, Decimal(4))
    assert extract("The answer is 3, not 4", "en") == Extraction(Decimal(3), Decimal(4))
    assert extract("no number", "en") == Extraction(None, None)
    assert Extraction(None, Decimal(4)).value == 4
    assert Extraction(Decimal(0), Decimal(4)).value == 0


def test_a_gold_without_a_number_and_an_unknown_language_are_errors() -> None:
    with pytest.raises(ValueError, match="gold is not one number"):
        is_correct("18", "eighteen", "en")
    with pytest.raises(KeyError):
        extract("18", "xx")


def hostile() -> Iterator[str]:
    for unit in (
        "1", "1,", "1.", "1 ", "1/", "1 1/2 ", "-", "- ", "(", "\\boxed{", "\\boxed{{", "{1}", "answer is ", "answer: ",
        "the answer is a 1 2 ", "\n1. ", "**", "=", " = 1", "万", "1万", "\u00a0", "1\u00a0", "\\frac{", "USD", "\\usd",
        " ", "\n", "\t1", "^", "'1", "½", "the ", "9" * 4301, "三千", "1万", "1 million ", "elfu 1 ", "1h", "1:1",
        "a: ", "<think>1", "</think>", "\nQ: 1", "1 a = ", "1 a ", "100 ", "#",
    ):  # fmt: skip
        yield unit * (20_000 // len(unit) + 1)
        yield f"answer is {unit * (20_000 // len(unit))}x 1 = 2"


def test_no_text_takes_long() -> None:
    for lang in ("fr", "sw", "zh"):
        extract("1", lang)  # compiles the patterns of the language, once
    for text in hostile():
        for lang in ("fr", "sw", "zh"):
            start = time.process_time()
            extract(text, lang)
            assert time.process_time() - start < 1, (text[:30], lang)


def test_a_number_longer_than_the_decimal_context_keeps_every_digit() -> None:
    digits = "1" * 5000
    assert extract(f"-{digits}2", "en").last == Decimal(f"-{digits}2")
    assert not is_correct(f"-{digits}2", f"-{digits}3", "en")


FRAGMENTS = st.sampled_from(
    ["answer is", "Answer:", "答案是", "উত্তর", "\\boxed{", "}", "$", "**", "-", "−", "=", "/", ".", ",", " ", "\u00a0",
     "'", "٬", "٫", "\n", "1", "007", "٣", "४", "²", "½", "①", "万", "만", "\\frac{1}{0}", "^", "(", ")", "%", "x"],
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(FRAGMENTS, max_size=30).map("".join)), st.sampled_from(LANGUAGES))
def test_no_text_raises(text: str, lang: str) -> None:
    extraction = extract(text, lang)
    assert (extraction.last is None) <= (extraction.phrase is None)
    parse_number(text, lang)
    assert is_correct(text, 18, lang) == (extraction.value == 18)


@settings(max_examples=300, deadline=None)
@given(st.integers(-(10**12), 10**12), st.sampled_from(LANGUAGES))
def test_an_integer_with_the_separators_of_its_locale_comes_back(number: int, lang: str) -> None:
    for text in (grouped(number, lang), indian(number), native(grouped(number, lang), lang), str(number)):
        assert parse_number(text, lang) == number, text
        assert extract(SENTENCE[lang].format(text), lang).phrase == number, text


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 99), st.sampled_from(LANGUAGES))
def test_cents_with_the_decimal_separator_of_the_locale_come_back(whole: int, cents: int, lang: str) -> None:
    text = f"{grouped(whole, lang)}{POINT.get(lang, '.')}{cents:02}"
    assert parse_number(text, lang) == Decimal(f"{whole}.{cents:02}")
