"""How a judge does on pairs of which it is known which answer is better (see ``judges.labelled``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ldr_utils.judges.labelled import KINDS, labelled_pairs
from ldr_utils.judges.verdicts import UNUSABLE, Judge, both_orders
from ldr_utils.scores.stats import AVERAGE, mean_interval

COLUMNS = ["judge", "protocol", "kind", "lang", "agreement", "low", "high", "n", "consistency", *UNUSABLE]


def check_judge(judge: Judge, languages: Sequence[str]) -> pd.DataFrame:
    """Put the labelled pairs to a judge, all in both orders, whatever its protocol.

    Returns
    -------
    DataFrame
        One row a pair: ``id``, ``lang``, ``kind``, ``agrees`` (1 where the judge prefers the better answer, 0.5 for a
        tie; of equally good ones 1 where its verdict does not follow the place), ``consistent`` (whether both orders
        name the same winner), ``status``. Where an order has no verdict, ``agrees`` and ``consistent`` are NaN.
    """
    pairs = labelled_pairs(languages)
    verdicts = both_orders(judge, [pair.case for pair in pairs])
    ok = verdicts["status"] == "ok"
    consistent = (~verdicts["flip"].astype(bool)).astype(float).where(ok)
    prefers = (np.sign(verdicts["preference"] - 0.5) + 1) / 2
    kinds = pd.Series([pair.kind for pair in pairs], dtype=str)
    return pd.DataFrame(
        {
            "id": [pair.case.record["id"] for pair in pairs],
            "lang": [pair.case.record["lang"] for pair in pairs],
            "kind": kinds,
            "agrees": prefers.where(kinds != "position", consistent).where(ok),
            "consistent": consistent,
            "status": verdicts["status"],
        }
    )


def summary(judge: Judge, checked: pd.DataFrame) -> pd.DataFrame:
    """Agreement by kind and language, and over all languages (``avg``), with 95 % bounds; columns are ``COLUMNS``.

    ``n`` counts the pairs with a verdict; those without are counted by status. A kind or language without any verdict
    has no agreement.
    """
    rows = [row for kind in KINDS for row in _rows(kind, checked[checked["kind"] == kind])]
    found = pd.DataFrame(rows).assign(judge=judge.name, protocol=judge.protocol)
    return found[COLUMNS]


def _rows(kind: str, own: pd.DataFrame) -> list[dict[str, Any]]:
    known = own[own["status"] == "ok"]
    wide = known.pivot(index="id", columns="lang", values="agrees")
    intervals = mean_interval(wide) if len(known) else {}
    languages = list(dict.fromkeys(own["lang"]))
    rows = []
    for lang in [*languages, AVERAGE]:
        here = own if lang == AVERAGE else own[own["lang"] == lang]
        row: dict[str, Any] = {"kind": kind, "lang": lang, "consistency": here["consistent"].mean()}
        row["n"] = int((here["status"] == "ok").sum())
        if lang in intervals:
            i = intervals[lang]
            row |= {"agreement": i.value, "low": i.low, "high": i.high}
        rows.append({"agreement": np.nan, "low": np.nan, "high": np.nan} | row | _without(here))
    return rows


def _without(here: pd.DataFrame) -> dict[str, int]:
    return {status: int((here["status"] == status).sum()) for status in UNUSABLE}
