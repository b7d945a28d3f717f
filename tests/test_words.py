"""Repetition, variety and copies by hand and in every script; ratios and their bounds against a simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.languages.units import units
from ldr_utils.scores.stats import paired_ratio
from ldr_utils.scores.words import copied, is_repetitive, pair_rows, repetition, result_rows, variety
from ldr_utils.study.params import ArmParams

PHRASES = {
    "en": "the answer is ",
    "ru": "ответ это ",
    "ar": "الجواب هو ",
    "bn": "উত্তর হল ",
    "te": "సమాధానం ఇది ",
    "ko": "정답은 이것 ",
    "ja": "答えは",
    "zh": "答案是",
    "th": "คำตอบคือ",
}


@pytest.mark.parametrize("lang", PHRASES)
def test_a_loop_is_seen_in_every_script_and_in_every_language_asked_for(lang: str) -> None:
    """A Japanese answer to an English prompt has words too; so has a loop of letters, digits or marks."""
    for asked in ("en", "zh", lang):
        assert is_repetitive(PHRASES[lang] * 20, asked)
        assert repetition(PHRASES[lang] * 20, asked) > 0.7
        assert repetition(PHRASES[lang], asked) == 0


@pytest.mark.parametrize("loop", ["ha" * 100, "!" * 200, "！" * 200, "18" * 90, "The answer is 18." + "0" * 300])
@pytest.mark.parametrize("lang", ["en", "ja", "th"])
def test_a_loop_without_spaces_or_letters_is_one(loop: str, lang: str) -> None:
    assert is_repetitive(loop, lang)
    assert repetition(loop, lang) > 0.7


def test_repetition_by_hand() -> None:
    assert repetition("a b c d e", "en") == 0
    assert repetition("a b c d a b c d", "en") == pytest.approx(1 - 4 / 5)
    assert repetition("", "en") == repetition("one two", "en") == 0


def test_units_of_another_script_than_the_languages_own() -> None:
    assert units("She said 答案是 18。", "en") == ["She", "said", "答", "案", "是", "18。"]
    assert len(units("คำตอบคือ", "de")) == len(units("คำตอบคือ", "th"))


def test_variety_by_hand() -> None:
    """Windows of the shorter text: of a b c d a b c d those of five units have four types each."""
    assert variety("A b, c d e", "a b c d a b c d", "en") == pytest.approx((1, 4 / 5))
    assert variety("a a b b c", "v w x y z", "en") == pytest.approx((3 / 5, 1))
    assert all(map(math.isnan, variety("one two three", "a b c d e", "en")))
    assert all(map(math.isnan, variety("...", "", "zh")))


@given(st.integers(1, 6), st.sampled_from(["en", "ja"]))
def test_a_longer_text_is_not_the_poorer_one(times: int, lang: str) -> None:
    """A plain type/token ratio of the longer text falls with its length; windows of one size do not see it."""
    letters = [chr(0x4E00 + k) for k in range(600)]
    text, longer = (("" if lang == "ja" else " ").join(letters[:n]) for n in (50, 50 * times))
    assert variety(longer, text, lang) == (1, 1)


def test_copies_by_hand() -> None:
    english = "Laura has the most balls: 71. The answer is 3.5 kilos.\nThat is all there is"
    assert copied("laura has the most balls 71", "es", english) == 1
    assert copied("Laura es quien tiene más pelotas. The answer is 3.5 kilos.", "es", english) == 0.5
    assert copied("答案是三点五。That is all there is", "zh", english) == 0.5
    assert copied("La respuesta es 18.", "es", english) == 0


@pytest.mark.parametrize("text", ["", "18", "Laura: 71.", "9 * 2 = 18", "```python\nfor k in range(9): print(k)\n```"])
def test_what_is_the_same_in_every_language_is_no_copy(text: str) -> None:
    assert math.isnan(copied(text, "es", text))


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(sorted(LANGUAGES)))
def test_any_texts_have_words_or_none(text: str, other: str, lang: str) -> None:
    assert 0 <= repetition(text, lang) < 1
    share, both = copied(text, lang, other), variety(text, other, lang)
    assert math.isnan(share) or 0 <= share <= 1
    assert all(map(math.isnan, both)) or all(0 < one <= 1 for one in both)
    assert variety(other, text, lang) == pytest.approx(both[::-1], nan_ok=True)


def answered(**texts: list[str]) -> dict[str, list[Any]]:
    return {lang: [{"id": str(k), "response": text} for k, text in enumerate(own)] for lang, own in texts.items()}


def rows(found: list[Any]) -> dict[tuple[str, str, str], Any]:
    assert len(found) == len({(r["metric"], r["lang"], r["split"]) for r in found})
    return {(r["metric"], r["lang"], r["split"]): (r["value"], r["n"]) for r in found}


def test_rows_of_a_model_and_of_two() -> None:
    params = ArmParams(languages=["en", "es"], unseen=["it"], t=1)
    before = answered(en=["one two three four", "a b"], es=["uno dos tres cuatro", "a b"], it=["", ""])
    after = answered(en=["one two three four", "a b"], es=["one two three four", "a b c d e f g h"], it=["uno", "due"])
    found = rows(result_rows(after, {0: before}, params))
    assert found["length", "es", "train"] == (6, 2)
    assert found["copied", "es", "train"] == (0.5, 2)
    assert not {("copied", "en", "train"), ("length", "avg", "train")} & set(found)
    assert found["length_ratio", "es", "train"] == (pytest.approx(12 / 6), 2)
    assert found["length_ratio", "avg", "train"] == (pytest.approx(math.sqrt(2)), 2)
    assert math.isnan(found["length_ratio", "it", "unseen"][0])
    assert found["variety_ratio", "es", "train"] == (1, 1)


def test_rows_of_pairs() -> None:
    params = ArmParams(languages=["en", "es"], unseen=[])
    pairs: list[Any] = [
        {"id": "0", "lang": "es", "chosen": "uno dos tres cuatro", "rejected": "one two three"},
        {"id": "0", "lang": "en", "chosen": "one two three", "rejected": "one two"},
        {"id": "0", "lang": "en", "chosen": "one two three", "rejected": "one two three four"},
    ]
    found = rows(pair_rows(pairs, answered(en=["one two three"], es=[""]), params))
    assert found["pair_length_ratio", "es", "train"] == (pytest.approx(4 / 3), 1)
    assert found["pair_length_ratio", "en", "train"] == (pytest.approx(1), 1)  # 3 to the mean of 2 and 4
    assert [found[f"{side}_copied", "es", "train"][0] for side in ("chosen", "rejected")] == [0, 1]
    assert pair_rows([], answered(en=[], es=[]), params) == []


def test_ratio_by_hand() -> None:
    after, before = pd.DataFrame({"a": [2.0, 4, 9], "b": [3.0, 3, 3]}), pd.DataFrame({"a": [1.0, 2, None], "b": 1.5})
    assert paired_ratio(after[["a"]], before[["a"]]).value == pytest.approx(2)
    assert paired_ratio(after, before).value == pytest.approx(2)
    constant = paired_ratio(after[["b"]], before[["b"]])
    assert [constant.low, constant.high, constant.n] == pytest.approx([2, 2, 3])
    assert math.isnan(paired_ratio(after.head(1), before.head(1)).low)
    assert math.isnan(paired_ratio(after, 0 * before).value)


def test_bounds_of_a_ratio_cover_it() -> None:
    """Lengths of 40 problems, hard in both languages or in none, and 1.25 times as long afterwards."""
    rng, held = np.random.default_rng(8), 0
    for _ in range(400):
        hard = rng.normal(0, 0.5, (40, 1))
        before = np.exp(3 + hard + rng.normal(0, 0.3, (40, 2)))
        after = 1.25 * np.exp(3 + hard + rng.normal(0, 0.3, (40, 2)))
        found = paired_ratio(pd.DataFrame(after), pd.DataFrame(before))
        held += found.low <= 1.25 <= found.high
    assert 0.9 < held / 400 < 0.98
