"""What generation and translation produced, before anything is built on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from ldr_utils.languages.identify import identify, off_target
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.languages.units import units
from ldr_utils.method.translation import parse_translation
from ldr_utils.scores.rows import Rows, plain, write_rows
from ldr_utils.study.params import TranslationParams
from ldr_utils.study.records import ByDirection, ByLanguage, Response, Translation

RATES = ("off_target", "truncated", "repetitive")


def is_repetitive(text: str, lang: str) -> bool:
    """Whether more than half of the four-word sequences of ``text`` stand in it more than once.

    Without spaces between words: sequences of characters, half as many as the table's n-gram of eight words has (in
    Thai that is somewhat more than four words, for its marks are no characters of their own here). Of 3,165 prompts
    that people wrote in Japanese, Thai and Chinese none is repetitive.
    """
    parts, size = units(text, lang), LANGUAGES[lang].gram // 2
    sequences = [tuple(parts[k : k + size]) for k in range(len(parts) - size + 1)]
    if not sequences:
        return False
    seen = Counter(sequences)
    return sum(n for n in seen.values() if n > 1) > len(sequences) / 2


def check_responses(responses: ByLanguage[Response]) -> pd.DataFrame:
    """One row a response: ``id``, ``lang``, ``tokens``, ``off_target``, ``truncated``, ``ending`` (in words),
    ``repetitive``."""
    return pd.DataFrame(
        [
            {
                "id": r["id"],
                "lang": lang,
                "tokens": r["tokens"],
                "off_target": off_target(r["response"], lang),
                "truncated": not r["finished"],
                "ending": "ended by itself" if r["finished"] else "cut off",
                "repetitive": is_repetitive(r["response"], lang),
            }
            for lang, records in responses.items()
            for r in records
        ]
    )


def summary(checks: pd.DataFrame) -> pd.DataFrame:
    """Rates and median length by language."""
    table = checks.groupby("lang", sort=False)[list(RATES)].mean()
    return table.assign(median_tokens=checks.groupby("lang")["tokens"].median()).round(3)


def rates(checks: pd.DataFrame) -> dict[str, float]:
    """Overall rates."""
    return {name: float(checks[name].mean()) for name in RATES}


def headline(checks: pd.DataFrame) -> str:
    """Overall rates in words."""
    return ", ".join(f"{value:.1%} {name.replace('_', '-')}" for name, value in rates(checks).items())


def check_translations(replies: ByDirection[Translation]) -> pd.DataFrame:
    """One row a translation: ``id``, ``direction``, ``lang`` (target), ``error``, ``on_target`` (missing where the
    language is undecided), ``length_ratio``."""
    table = []
    for (source, target), records in replies.items():
        for record in records:
            parsed = parse_translation(record["response"])
            text = parsed.text or ""
            found = identify(text, target)
            table.append(
                {
                    "id": record["id"],
                    "direction": f"{source} to {target}",
                    "lang": target,
                    "error": parsed.error,
                    "on_target": None if found is None else found == target,
                    "length_ratio": None if parsed.error else len(text) / max(1, len(record["source"])),
                }
            )
    return pd.DataFrame(table).astype({"on_target": float, "length_ratio": float})


def translation_summary(checks: pd.DataFrame) -> pd.DataFrame:
    """Failures, language hits and median length ratio by direction."""
    by_direction = checks.groupby("direction", sort=False)
    return pd.DataFrame(
        {
            "translations": by_direction.size(),
            "failed": by_direction["error"].count(),
            "on_target": by_direction["on_target"].mean().round(3),
            "median_length_ratio": by_direction["length_ratio"].median().round(3),
        }
    )


def write_quality(
    path: Path, checks: pd.DataFrame, round_trips: pd.DataFrame, params: TranslationParams
) -> pd.DataFrame:
    """Rows of results.csv, task ``translation``, on translations out of the dominant language; written to ``path``.

    Parameters
    ----------
    path : Path
        CSV file.
    checks : DataFrame
        From ``check_translations``.
    round_trips : DataFrame
        From ``round_trip.score``; may be empty.

    Returns
    -------
    DataFrame
        ``hit_rate`` (of those whose language is decided) and ``chrf_round_trip`` with intervals, ``length_ratio``
        (median) without.
    """
    out = checks[checks["direction"].str.startswith(f"{params.dominant} to ") & checks["error"].isna()]
    found = Rows(params, "translation")
    if len(decided := out.dropna(subset="on_target")):
        found.add("hit_rate", decided, "on_target")
    if len(round_trips):
        found.add("chrf_round_trip", round_trips)
    ratios = {str(lang): plain(own.median(), len(own)) for lang, own in out.groupby("lang", sort=False)["length_ratio"]}
    found.add_values("length_ratio", ratios)
    return write_rows(path, found.rows)
