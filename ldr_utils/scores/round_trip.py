"""Round trips: a sample of translations translated back by the same model, and what of the original returns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ldr_utils.method.translation import parse_translation
from ldr_utils.method.translators import Translator
from ldr_utils.study.params import TranslationParams
from ldr_utils.study.records import Record

Replies = Mapping[tuple[str, str], Sequence[Record]]  # by (source, target)
Trips = dict[str, list[tuple[Record, Record]]]  # by language: the way out and the way back


def drawn(replies: Sequence[Record], seed: int, size: int) -> list[Record]:
    """At most ``size`` of the translations that have a text, the same ids in every language as far as they have one."""
    order = list(replies)
    random.Random(f"round-trip-{seed}").shuffle(order)
    return [record for record in order if parse_translation(record["response"]).text][:size]


def translate_back(translator: Translator, replies: Replies, params: TranslationParams, folder: Path) -> Trips:
    """Translate ``round_trip_sample`` translations of every language back into the dominant one.

    Returns
    -------
    dict
        Pairs of the record of the way out and that of the way back, by language; empty for a sample of 0.
    """
    trips: Trips = {}
    for lang in params.non_dominant if params.round_trip_sample else []:
        out = drawn(replies[params.dominant, lang], params.seed, params.round_trip_sample)
        texts = [{"id": one["id"], "response": parse_translation(one["response"]).text} for one in out]
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
        {"id": out["id"], "lang": lang, "chrf_round_trip": metric.sentence_score(text, [out["source"]]).score / 100}
        for lang, pairs in trips.items()
        for out, back in pairs
        for text in [parse_translation(back["response"]).text or ""]
    ]
    return pd.DataFrame(table, columns=["id", "lang", "chrf_round_trip"])
