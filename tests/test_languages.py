"""The table of languages, units of text, and the repetition that they let be seen in every script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.data.sets import length_table
from ldr_utils.languages.numbers import extract
from ldr_utils.languages.table import LANGUAGES, Language, record_of
from ldr_utils.languages.units import unit_label, units
from ldr_utils.scores.answers import check_responses
from ldr_utils.scores.premise import side_lengths
from ldr_utils.scores.words import is_repetitive
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams, load_params, validate

UNSPACED = [lang for lang, language in LANGUAGES.items() if not language.spaced]


def test_every_language_has_what_its_stages_ask_for() -> None:
    """Answer phrases above all: without them a word problem could not be graded."""
    for language in LANGUAGES.values():
        assert language.answer_phrases
        assert all(phrase == phrase.strip() and phrase for phrase in language.answer_phrases)
        assert language.gram == 8 or not language.spaced
    assert UNSPACED == ["ja", "th", "zh"]


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("It's 5 o'clock, no?", "en", ["It's", "5", "o'clock,", "no?"]),
        ("서울은 한국의 수도이다.", "ko", ["서울은", "한국의", "수도이다."]),
        ("東京は、 日本。１２", "ja", ["東", "京", "は", "日", "本", "１", "２"]),
        ("か\u3099く", "ja", ["か\u3099", "く"]),
        ("答案是 18 个。", "zh", ["答", "案", "是", "1", "8", "个"]),
        ("กี่คน?", "th", ["กี่", "ค", "น"]),
        ("\u0e48 ...", "th", []),
        ("", "es", []),
    ],
)
def test_units_are_words_or_the_characters_of_a_script_without_spaces(
    text: str, lang: str, expected: list[str]
) -> None:
    assert units(text, lang) == expected


def test_labels_say_what_was_counted() -> None:
    assert unit_label(["en", "es"]) == "words"
    assert unit_label(["en", "ja", "zh"]) == "words (ja, zh: characters)"
    assert unit_label(["th"]) == "characters"


NORMAL = {
    "ja": "まず、ジャネットのアヒルは一日に16個の卵を産みます。朝食に3個を食べ、友人のためのマフィンに4個を使います。"
    "したがって、残りは16引く3引く4で9個です。卵1個を2ドルで売るので、9かける2で18ドルになります。答えは18です。",
    "th": "ก่อนอื่น เป็ดของเจเน็ตออกไข่วันละ 16 ฟอง เธอกินไข่เป็นอาหารเช้า 3 ฟอง และใช้อบมัฟฟินให้เพื่อน 4 ฟอง "
    "ดังนั้นเธอเหลือไข่ 16 ลบ 3 ลบ 4 เท่ากับ 9 ฟอง เธอขายไข่ฟองละ 2 ดอลลาร์ จึงได้เงิน 9 คูณ 2 เท่ากับ 18 ดอลลาร์ คำตอบคือ 18",
    "zh": "首先，珍妮特的鸭子每天下16个蛋。她早餐吃掉3个，又用4个为朋友们烤松饼。所以还剩下16减3再减4，等于9个蛋。"
    "每个蛋卖2美元，那么她每天可以赚9乘以2，等于18美元。答案是18。",
    "es": "Los patos de Janet ponen 16 huevos al día. Come 3 en el desayuno y usa 4 para hornear panecillos para sus"
    " amigos. Le quedan 9 huevos, que vende a 2 dólares cada uno: gana 18 dólares. La respuesta es 18.",
}
LOOP = {
    "ja": ["したがって答えは", "卵は9個残ります。", "したがって、残りの卵の数は全部で9個になるので答えは18です"],
    "th": ["ดังนั้นคำตอบคือ", "เธอเหลือไข่ 9 ฟอง ", "ดังนั้นเธอเหลือไข่ทั้งหมดเก้าฟองและคำตอบคือสิบแปด"],
    "zh": ["所以答案是", "还剩下9个蛋。", "所以剩下的鸡蛋一共是九个因此她每天赚十八美元"],
    "es": ["la respuesta es ", "Le quedan 9 huevos. ", "por lo tanto los huevos que le quedan son nueve en total, "],
}


@pytest.mark.parametrize("lang", NORMAL)
def test_an_answer_that_reasons_is_not_repetitive(lang: str) -> None:
    assert not is_repetitive(NORMAL[lang], lang)


@pytest.mark.parametrize(("lang", "phrase"), [(lang, phrase) for lang, phrases in LOOP.items() for phrase in phrases])
def test_an_answer_that_falls_into_a_loop_is_repetitive(lang: str, phrase: str) -> None:
    """Also with a good start, and without a single space; a sentence said twice is no loop."""
    loop = phrase * (300 // len(phrase))
    assert is_repetitive(loop, lang)
    assert is_repetitive(NORMAL[lang] + loop, lang)
    assert not is_repetitive(NORMAL[lang] + phrase * 2, lang)


def test_words_are_counted_as_ever_where_they_are_spaced() -> None:
    """Four words: the last sequence of three loops is the first that makes more than half of them repeated."""
    assert not is_repetitive("a b c d e f g h", "en")
    assert is_repetitive("a b c d a b c d a b c d", "en")
    assert not is_repetitive("no no no", "en")
    assert is_repetitive("no no no no no", "en")


def test_a_loop_is_found_in_the_answers_of_its_language() -> None:
    answers: list[Any] = [{"id": "1", "tokens": 9, "finished": False, "response": LOOP["ja"][0] * 30}]
    assert check_responses({"ja": answers})["repetitive"].tolist() == [True]


@pytest.mark.parametrize("lang", UNSPACED)
def test_what_people_wrote_is_not_repetitive(real_data: Path, lang: str) -> None:
    with (real_data / "mgsm" / f"mgsm_{lang}.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["query"] for line in file]
    prompts = (real_data / "x-alpacaeval" / "prompts" / f"{lang}.json").read_text(encoding="utf-8")
    texts += [row["instruction"] for row in json.loads(prompts)]
    assert len(texts) == 250 + 805
    assert [text for text in texts if is_repetitive(text, lang)] == []
    assert all(is_repetitive(text * 8, lang) for text in texts if units(text, lang))


def test_lengths_count_units() -> None:
    pairs: list[Any] = [
        {"lang": lang, "chosen": text, "rejected": text[:4]}
        for lang, text in {"en": "one two", "zh": "一二，三四"}.items()
    ]
    assert side_lengths(pairs, ["zh", "en"])["units"].tolist() == [4, 3, 2, 1]
    prompts: dict[str, dict[str, list[Any]]] = {"t": {"en": [{"prompt": "one two"}], "zh": [{"prompt": "一二，三"}]}}
    table = length_table(prompts)
    assert table[["units", "characters"]].to_numpy().tolist() == [[2, 7], [3, 4]]


def test_a_study_brings_a_language_of_its_own_without_code(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "languages: [en, gl]\nlanguage_records:\n"
        "  gl: {name: Galician, flores: glg_Latn, answer_phrases: [A resposta é], decimal_comma: true,"
        " magnitudes: {mil: 1000}}\n"
        "  es: {answer_phrases: [Sale]}\n"
    )
    load_params(file)
    assert LANGUAGES["gl"] == Language(
        "Galician", "glg_Latn", ("A resposta é",), decimal_comma=True, magnitudes=(("mil", 1000),)
    )
    assert (LANGUAGES["es"].name, LANGUAGES["es"].answer_phrases) == ("Spanish", ("Sale",))
    assert extract("A resposta é 1.234, non 5", "gl").phrase == 1234
    assert extract("La respuesta es 3", "es").phrase is None
    load_params(Path("params/micro.yaml"))
    assert "gl" not in LANGUAGES
    assert "La respuesta es" in LANGUAGES["es"].answer_phrases


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"GL": {}}, "'GL' is no code of a language"),
        ({"gl": []}, "gl: give a record"),
        ({"gl": {"name": "Galician", "flores": "glg_Latn"}}, "gl.answer_phrases: is missing"),
        ({"es": {"answer_phrases": []}}, "es.answer_phrases: give a list"),
        ({"es": {"answer_phrases": "Sale"}}, "es.answer_phrases: give a list"),
        ({"es": {"spaced": "no"}}, "es.spaced: give true or false"),
        ({"es": {"gram": 0}}, "es.gram: give a number"),
        ({"es": {"magnitudes": {"mil": 1001}}}, "es.magnitudes: give words"),
        ({"es": {"nombre": "x"}}, "es.nombre: is not known"),
        ({"es": {"flores": "spanish"}}, "es.flores: give its FLORES-200 code"),
        ({"es": {"name": " Spanish"}}, "es.name: give a text"),
    ],
)
def test_a_record_that_says_too_little_is_refused_in_one_line(record: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        validate(StudyParams, {"language_records": record}, "x.yaml")
    assert f"x.yaml: language_records: {said}" in str(error.value)


def test_a_language_without_spaces_is_counted_in_characters() -> None:
    values = {"name": "Lao", "flores": "lao_Laoo", "answer_phrases": ["ຄຳຕອບແມ່ນ"], "spaced": False}
    assert record_of("lo", values).gram == 20
    assert record_of("ja", {"name": "Nihongo"}).gram == LANGUAGES["ja"].gram
