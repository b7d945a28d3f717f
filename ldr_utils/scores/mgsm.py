"""From responses to scores: one table a task, and the rows of results.csv it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ldr_utils.languages.identify import off_target
from ldr_utils.languages.numbers import extract, gold_number
from ldr_utils.scores.rows import Rows
from ldr_utils.study.params import ArmParams
from ldr_utils.study.records import Record, Response

MGSM_METRICS = ("accuracy", "accuracy_phrase", "off_target", "no_answer")


def score_mgsm(responses: Sequence[Response]) -> pd.DataFrame:
    """Grade MGSM responses.

    Parameters
    ----------
    responses : sequence of Response
        With ``id``, ``lang``, ``gold`` and ``response``.

    Returns
    -------
    DataFrame
        One row a response: ``id``, ``lang``, ``level`` (where the record has one), and the ``MGSM_METRICS``, each 0 or
        1. ``accuracy`` takes the number after an answer phrase or, failing that, the last one; ``accuracy_phrase``
        only the former: a wide gap between them says that a model does not end as it was asked to. ``no_answer`` is
        no number at all.
    """
    return pd.DataFrame([_graded(record) for record in responses])


def result_rows(scores: pd.DataFrame, params: ArmParams) -> list[dict[str, Any]]:
    """Rows of results.csv: the ``MGSM_METRICS`` of M_t, by language and averaged."""
    found = Rows(params, "mgsm")
    for metric in MGSM_METRICS:
        found.add(metric, scores)
    return found.rows


def _graded(record: Response) -> Record:
    text, lang, gold = record["response"], record["lang"], gold_number(record["gold"])
    found = extract(text, lang)
    return {
        "id": record["id"],
        "lang": lang,
        "level": record.get("level"),
        "accuracy": float(found.value == gold),
        "accuracy_phrase": float(found.phrase == gold),
        "off_target": float(off_target(text, lang)),
        "no_answer": float(found.value is None),
    }
