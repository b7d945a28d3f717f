"""Round trips: a sample of translations translated back by the same model, and what of the original returns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ldr_utils.method.translation import parse_translation
from ldr_utils.method.translators import Translator
from ldr_utils.study.params import TranslationParams
from ldr_utils.study.records import ByDirection, Text, Translation

Trips = dict[str, list[tuple[Translation, Translation]]]  # by language: the way out and the way back


def drawn(replies: Sequence[Translation], seed: int, size: int) -> list[Translation]:
    """At most ``size`` of the translations that have a text, the same ids in every language as far as they have one."""
    order = list(replies)
    random.Random(f"round-trip-{seed}").shuffle(order)
    return [record for record in order if _text(record)][:size]


def _text(translation: Translation) -> str:
    """What is left of a reply without its tags; empty where it failed."""
    return parse_translation(translation["response"]).text or ""


def translate_back(
    translator: Translator, replies: ByDirection[Translation], params: TranslationParams, folder: Path
) -> Trips:
    """Translate ``round_trip_sample`` translations of every language back into the dominant one.

    Returns
    -------
    dict
        Pairs of the record of the way out and that of the way back, by language; empty for a sample of 0.
    """
    trips: Trips = {}
    for lang in params.non_dominant if params.round_trip_sample else []:
        out = drawn(replies[params.dominant, lang], params.seed, params.round_trip_sample)
        texts: list[Text] = [{"id": one["id"], "response": _text(one)} for one in out]
        back = translator.translate(texts, lang, params.dominant, folder / f"{lang}-{params.dominant}.jsonl")
        trips[lang] = list(zip(out, back, strict=True))
    return trips


def score(trips: Trips) -> pd.DataFrame:
    """chrF (Popović 2015; sacrebleu's defaults) of what came back against the original, 0 to 1.

    Returns
    -------
    DataFrame
        ``id``, ``lang``, ``chrf_round_trip``; a way back without a text scores 0.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    table = [
        {
            "id": out["id"],
            "lang": lang,
            "chrf_round_trip": metric.sentence_score(_text(back), [out["source"]]).score / 100,
        }
        for lang, pairs in trips.items()
        for out, back in pairs
    ]
    return pd.DataFrame(table, columns=["id", "lang", "chrf_round_trip"])
