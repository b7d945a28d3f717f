"""The words of answers: what a judge may reward, or training may cost, beside being right.

Preferred answers of this method are translations, and a model that is trained on preferences may grow long, loop or
copy. Lengths are in units of the script (`languages.units`), and all figures of a problem share its row: ratios compare
two texts that answer the same prompt.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from ldr_utils.languages.prose import prose, sentences
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.languages.units import units
from ldr_utils.scores.rows import Rows, plain, wide
from ldr_utils.scores.stats import Interval, paired_ratio
from ldr_utils.study.params import ArmParams
from ldr_utils.study.records import ByLanguage, Pair, Response

TASK = "words"
WINDOW = 6  # n-grams: 48 words in English, the 50 of Covington & McFall in every script
LEAST = 3  # units with a letter: a shorter sentence, such as a name and its number, is the same in every language
LONGEST_WORD = 40  # characters: what is longer is no word but a loop without spaces, or a URL


def sequences(text: str, lang: str) -> list[tuple[str, ...]]:
    """Overlapping sequences of four words, or of half as many characters as the table's n-gram of eight words has.

    Where there are no words, nor a letter for `units` to count, the marks that stand there are counted.
    """
    parts = [part for unit in _marked(text, lang) for part in (unit if len(unit) > LONGEST_WORD else [unit])]
    size = LANGUAGES[lang].gram // 2
    return [tuple(parts[k : k + size]) for k in range(len(parts) - size + 1)]


def _marked(text: str, lang: str) -> list[str]:
    """Units, or all that is no space where fewer than half of it is in units: a loop of punctuation is one too."""
    found, marks = units(text, lang), "".join(text.split())
    return found if 2 * sum(map(len, found)) >= len(marks) else list(marks)


def is_repetitive(text: str, lang: str) -> bool:
    """Whether more than half of the `sequences` of a text stand in it more than once.

    Of 3,165 prompts that people wrote in Japanese, Thai and Chinese none is repetitive.
    """
    found = sequences(text, lang)
    return sum(n for n in Counter(found).values() if n > 1) > len(found) / 2


def repetition(text: str, lang: str) -> float:
    """Share of the `sequences` of a text that it has had before: seq-rep-4 (Welleck et al., 2020), 1 - types / tokens.

    0 where a text is too short to have any.
    """
    found = sequences(text, lang)
    return 1 - len(set(found)) / len(found) if found else 0.0


def variety(text: str, other: str, lang: str) -> tuple[float, float]:
    """Type/token ratios of two texts in windows of one size, so that a longer text is not the poorer one.

    The moving average of Covington & McFall (2010, J. Quant. Linguist. 17:94): the mean over all runs of W units of
    the share of different ones, case and punctuation aside. W is the length of the shorter text, and at most ``WINDOW``
    n-grams; NaN, twice, where that is less than half an n-gram.
    """
    ours, theirs = _bare(text, lang), _bare(other, lang)
    window = min(len(ours), len(theirs), WINDOW * LANGUAGES[lang].gram)
    if window < max(1, LANGUAGES[lang].gram // 2):
        return float("nan"), float("nan")
    return _moving_average(ours, window), _moving_average(theirs, window)


def _bare(text: str, lang: str) -> list[str]:
    words = ("".join(c for c in unit.casefold() if unicodedata.category(c)[0] in "LMN") for unit in units(text, lang))
    return [word for word in words if word]


def _moving_average(words: Sequence[str], window: int) -> float:
    seen = Counter(words[:window])
    types, runs = len(seen), len(words) - window + 1
    for leaves, enters in zip(words, words[window:], strict=False):
        seen[enters] += 1
        seen[leaves] -= 1
        if not seen[leaves]:
            del seen[leaves]
        types += len(seen)
    return types / (runs * window)


def copied(text: str, lang: str, source: str) -> float:
    """Share of the sentences of a text that stand in ``source``, an answer in another language, too; lines end one.

    Case, punctuation and numbers aside. What is no language (`languages.prose`), and what has fewer than ``LEAST``
    units with a letter, is the same in every language and does not count; NaN where nothing is left.
    """
    theirs = set(map(_key, sentences(prose(source))))
    own = [
        _key(sentence)
        for sentence in sentences(prose(text))
        if sum(any(map(str.isalpha, unit)) for unit in units(sentence, lang)) >= LEAST
    ]
    return sum(sentence in theirs for sentence in own) / len(own) if own else float("nan")


def _key(sentence: str) -> str:
    return "".join(filter(str.isalnum, sentence.casefold()))


def result_rows(
    responses: ByLanguage[Response], earlier: Mapping[int, ByLanguage[Response]], params: ArmParams
) -> list[dict[str, Any]]:
    """Rows of results.csv, task ``words``, of M_t's answers, and of M_t against each M_s on the same prompts.

    ``length`` (mean, in units; without bounds, and without an average over scripts), ``repetition``, ``copied`` from
    its own dominant answer; of two models ``length_ratio`` and ``variety_ratio`` (see `stats.paired_ratio`).
    """
    found = Rows(params, TASK)
    dominant = {r["id"]: r["response"] for r in responses.get(params.dominant, [])}
    table = pd.DataFrame(
        [
            {
                "id": r["id"],
                "lang": lang,
                "length": len(units(r["response"], lang)),
                "repetition": repetition(r["response"], lang),
                "copied": _copied(r["response"], lang, dominant.get(r["id"]), params),
            }
            for lang, records in responses.items()
            for r in records
        ]
    )
    lengths = {str(lang): own for lang, own in table.groupby("lang", sort=False)["length"]}
    found.add_values("length", {lang: plain(own.mean(), len(own)) for lang, own in lengths.items()})
    for metric in ("repetition", "copied"):
        found.add(metric, table)
    for s, theirs in earlier.items():
        before = {lang: {r["id"]: r["response"] for r in records} for lang, records in theirs.items()}
        texts = [(r["id"], lang, r["response"], before[lang][r["id"]]) for lang in responses for r in responses[lang]]
        found.rows += _ratios(texts, Rows(params, TASK, f"M{params.t}-vs-M{s}")).rows
    return found.rows


def pair_rows(pairs: Sequence[Pair], responses: ByLanguage[Response], params: ArmParams) -> list[dict[str, Any]]:
    """Rows of results.csv, task ``words``, of the pairs made of M_t's answers: chosen against rejected.

    Returns
    -------
    list of dict
        ``pair_length_ratio``, ``pair_variety_ratio``, and of each side ``_repetition`` and ``_copied`` (from the
        dominant answer to the same prompt). Several pairs of one prompt are one problem.
    """
    found = _ratios([(p["id"], p["lang"], p["chosen"], p["rejected"]) for p in pairs], Rows(params, TASK), "pair_")
    dominant = {r["id"]: r["response"] for r in responses[params.dominant]}
    for side in ("chosen", "rejected"):
        table = pd.DataFrame(
            [
                {
                    "id": pair["id"],
                    "lang": pair["lang"],
                    f"{side}_repetition": repetition(str(pair[side]), pair["lang"]),
                    f"{side}_copied": _copied(str(pair[side]), pair["lang"], dominant.get(pair["id"]), params),
                }
                for pair in pairs
            ],
            columns=["id", "lang", f"{side}_repetition", f"{side}_copied"],
        )
        table = table.groupby(["id", "lang"], as_index=False, sort=False).mean()
        for metric in (f"{side}_repetition", f"{side}_copied"):
            found.add(metric, table)
    return found.rows


def _copied(text: str, lang: str, source: str | None, params: ArmParams) -> float:
    return float("nan") if source is None or lang == params.dominant else copied(text, lang, source)


def _ratios(texts: Iterable[tuple[str, str, str, str]], found: Rows, prefix: str = "") -> Rows:
    """Add how much longer and more varied texts are than others; ``texts`` are (id, lang, text, the other one)."""
    table = pd.DataFrame(
        [
            (i, lang, len(units(text, lang)), len(units(other, lang)), *variety(text, other, lang))
            for i, lang, text, other in texts
        ],
        columns=["id", "lang", "length", "other_length", "variety", "other_variety"],
    )
    by_problem = table.groupby(["id", "lang"], as_index=False, sort=False).mean()
    for metric in ("length", "variety"):
        after, before = wide(by_problem, metric), wide(by_problem, f"other_{metric}")
        present = [lang for lang in found.params.all_languages if lang in after and after[lang].notna().any()]
        found.add_with(f"{prefix}{metric}_ratio", partial(_ratio, after, before), present)
    return found


def _ratio(after: pd.DataFrame, before: pd.DataFrame, languages: list[str]) -> Interval:
    return paired_ratio(after[languages], before[languages])
