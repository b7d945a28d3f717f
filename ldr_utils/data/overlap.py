"""Train/test overlap: test prompts of which an n-gram stands in a training prompt, language by language.

The check of the field's contamination studies: GPT-3 looks for shared 13-grams, PaLM calls an example contaminated
when at least 70 % of its 8-grams stand in the training data. Both counts are given here, for 8-grams. Scripts without
spaces between words are cut into characters instead, as many as make 8 English words (``languages.table``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.records import DataSet, Prompt, Record

CONTAMINATED = 0.7
EXAMPLES = 3
COLUMNS = ["train", "test", "lang", "prompts", "overlapping", "contaminated", "examples"]


class _Separators(dict[int, str]):
    """What becomes of a character: apostrophes and invisible marks vanish, other punctuation separates words.

    Combining marks stay: the vowel signs of Bengali, Telugu or Thai are part of their words.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or character in "'’":
            self[code] = ""
        else:
            self[code] = " " if category[0] in "PSZC" else character
        return self[code]


_SEPARATORS = _Separators()


def ngrams(text: str, lang: str) -> set[str]:
    """N-grams of a text, case and punctuation aside; a text shorter than one n-gram is one by itself."""
    words = unicodedata.normalize("NFKC", text).casefold().translate(_SEPARATORS).split()
    size, spaced = LANGUAGES[lang].gram, LANGUAGES[lang].spaced
    units: Sequence[str] = words if spaced else "".join(words)
    joint = " " if spaced else ""
    return {joint.join(units[start : start + size]) for start in range(max(1, len(units) - size + 1))} - {""}


def overlap_table(train: Mapping[str, DataSet], test: Mapping[str, DataSet]) -> pd.DataFrame:
    """Look for n-grams of test prompts in training prompts.

    Parameters
    ----------
    train, test : mapping of set name to language to records
        Records with ``id`` and ``prompt``; ``question``, where there is one, is looked at instead of the prompt, of
        which the instruction around the question would overlap always.

    Returns
    -------
    DataFrame
        One row for each pair of sets and language in both: ``train``, ``test``, ``lang``, ``prompts`` (in the test
        set), ``overlapping`` (those that share an n-gram), ``contaminated`` (those that share at least 70 % of their
        n-grams), ``examples`` (the most similar ones as ``test id ~ train id: shared n-gram``, one a line).
    """
    rows = []
    for train_name, by_language in train.items():
        for lang, prompts in by_language.items():
            index = {gram: record["id"] for record in prompts for gram in _ngrams(record)}
            for test_name, tested in test.items():
                if lang in tested:
                    counts = _compare(index, tested[lang])
                    rows.append([train_name, test_name, lang, len(tested[lang]), *counts])
    return pd.DataFrame(rows, columns=COLUMNS)


def closest(table: pd.DataFrame) -> list[Record]:
    """The examples of an `overlap_table`: one row for each pair of sets and language that have any."""
    hits = table.loc[table["examples"] != "", ["train", "test", "lang", "examples"]]
    return [dict(zip(hits.columns, row, strict=True)) for row in hits.itertuples(index=False, name=None)]


def _compare(index: Mapping[str, str], tested: Sequence[Prompt]) -> tuple[int, int, str]:
    found = sorted(_shared(index, tested), key=lambda hit: hit[0], reverse=True)
    quoted = "\n".join(line for _, line in found[:EXAMPLES])
    return len(found), sum(share >= CONTAMINATED for share, _ in found), quoted


def _shared(index: Mapping[str, str], tested: Sequence[Prompt]) -> Iterator[tuple[float, str]]:
    """Yield the share of n-grams found, and one of them, for every prompt with any."""
    for record in tested:
        grams = _ngrams(record)
        shared = grams & index.keys()
        if shared:
            gram = min(shared)
            yield len(shared) / len(grams), f"{record['id']} ~ {index[gram]}: {gram}"


def _ngrams(record: Prompt) -> set[str]:
    return ngrams(record.get("question") or record["prompt"], record["lang"])
