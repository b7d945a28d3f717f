"""The train/test overlap check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ldr_utils.data.overlap import ngrams, overlap_table
from ldr_utils.data.sets import real_sets
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.languages.table import LANGUAGES


def prompts(lang: str, *texts: str, **extra: str) -> dict[str, list[Any]]:
    return {lang: [{"id": f"{lang}-{k}", "lang": lang, "prompt": text} | extra for k, text in enumerate(texts)]}


def count(lang: str, train: str, test: str) -> tuple[int, int]:
    row = overlap_table({"train": prompts(lang, train)}, {"test": prompts(lang, test)}).iloc[0]
    return int(row["overlapping"]), int(row["contaminated"])


EIGHT = "one two three four five six seven eight"


def test_eight_shared_words_overlap_and_seven_do_not() -> None:
    assert count("en", f"zero {EIGHT} nine", f"ten {EIGHT} eleven") == (1, 0)
    assert count("en", "zero two three four five six seven eight nine", f"{EIGHT} ten") == (0, 0)


def test_case_and_punctuation_do_not_matter() -> None:
    assert count("en", "Don't stop: one, two (three) four-five six!", "don’t STOP one two three four five six") == (
        1,
        1,
    )


def test_contaminated_is_seventy_percent_of_the_ngrams() -> None:
    words = [f"w{k}" for k in range(17)]  # ten n-grams
    text = " ".join(words)
    assert count("en", " ".join(words[:14]), text) == (1, 1)
    assert count("en", " ".join(words[:13]), text) == (1, 0)


def test_a_short_prompt_overlaps_only_with_itself() -> None:
    assert count("en", "Write a poem.", "write a poem") == (1, 1)
    assert count("en", "Write a poem about one small grey cat today", "Write a poem") == (0, 0)
    assert count("en", "...", "!") == (0, 0)


@pytest.mark.parametrize("lang", ["ja", "th", "zh"])
def test_scripts_without_spaces_are_compared_by_characters(lang: str) -> None:
    size = LANGUAGES[lang].gram
    shared = "".join(chr({"ja": 0x3042, "th": 0x0E01, "zh": 0x4E00}[lang] + k) for k in range(size))
    assert count(lang, f"甲{shared[:5]}，{shared[5:]}乙", f"丙{shared}丁") == (1, 0)
    assert count(lang, f"甲{shared[1:]}乙", f"丙{shared}丁") == (0, 0)


def test_vowel_signs_do_not_cut_words() -> None:
    assert ngrams("রজারের কাছে পাঁচটি টেনিস বল ছিল।", "bn") == {"রজারের কাছে পাঁচটি টেনিস বল ছিল"}


def test_the_question_is_compared_without_its_instruction() -> None:
    train = prompts("en", f"{EIGHT}: cats?", question="How many cats?")
    test = prompts("en", f"{EIGHT}: dogs?", question="How many dogs?")
    assert overlap_table({"train": train}, {"test": test})["overlapping"].tolist() == [0]


def test_rows_and_examples() -> None:
    train = {"a": prompts("en", "x y", f"{EIGHT} nine") | prompts("de", EIGHT), "b": prompts("en", "nothing")}
    test = {"t": prompts("en", f"ten {EIGHT}", EIGHT), "u": prompts("fr", EIGHT)}
    table = overlap_table(train, test)
    assert table[["train", "test", "lang", "prompts", "overlapping"]].values.tolist() == [
        ["a", "t", "en", 2, 2],
        ["b", "t", "en", 2, 0],
    ]
    assert table["examples"].tolist() == [f"en-1 ~ en-1: {EIGHT}\nen-0 ~ en-1: {EIGHT}", ""]


def test_no_common_language_gives_an_empty_table() -> None:
    table = overlap_table({"a": prompts("en", "x")}, {"b": prompts("de", "x")})
    assert table.empty
    assert "contaminated" in table


@pytest.mark.parametrize("source", ["alpagasus", "gsm8k"])
def test_real_training_prompts_are_not_in_the_tests(real_data: Path, source: Any) -> None:
    languages = ["en", "es", "ru", "de", "fr"]
    sets, _ = real_sets(
        languages, dict.fromkeys(TEST_SETS, languages), data_dir=real_data, prompts=source, prompts_per_iteration=250
    )
    train = {name: by_language for name, by_language in sets.items() if name.startswith("iteration")}
    table = overlap_table(train, {name: sets[name] for name in ("mgsm", "x_alpacaeval")})
    assert len(table) == 2 * 2 * 5
    assert table["contaminated"].sum() == 0
    assert (table["overlapping"] <= 0.02 * table["prompts"]).all()


def test_real_problems_are_found_in_themselves(real_data: Path) -> None:
    languages = ["en", "zh", "ja", "th", "bn", "te", "sw"]
    sets, _ = real_sets(["en"], {"mgsm": languages, "x_alpacaeval": ["en"]}, data_dir=real_data, iterations=1)
    table = overlap_table({"train": sets["mgsm"]}, {"test": sets["mgsm"]})
    assert (table["contaminated"] == 250).all()
    assert table["lang"].tolist() == languages
