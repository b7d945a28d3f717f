"""From responses to scores: one table a task, and the rows of results.csv it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ldr_utils.judging import Answer, Case, Judge, agreement, length_controlled
from ldr_utils.langid import off_target
from ldr_utils.mgsm import extract, is_correct
from ldr_utils.params import Common
from ldr_utils.records import Record
from ldr_utils.results import rows
from ldr_utils.stats import Interval, mean_interval

KEYS = ["id", "lang", "via"]  # what tells a pair from every other


def score_mgsm(responses: Sequence[Record], languages: list[str]) -> pd.DataFrame:
    """Grade MGSM responses.

    Parameters
    ----------
    responses : sequence of Record
        With ``id``, ``lang``, ``gold`` and ``response``.
    languages : list of str
        What language identification chooses from.

    Returns
    -------
    DataFrame
        One row a response: ``id``, ``lang``, ``level`` (where the record has one), ``accuracy``, ``off_target`` and
        ``no_answer``, each 0 or 1.
    """
    return pd.DataFrame(
        [
            {
                "id": r["id"],
                "lang": r["lang"],
                "level": r.get("level"),
                "accuracy": float(is_correct(r["response"], r["gold"], r["lang"])),
                "off_target": float(off_target(r["response"], r["lang"], languages)),
                "no_answer": float(extract(r["response"], r["lang"]).value is None),
            }
            for r in responses
        ]
    )


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Problems by languages, as ``stats`` wants it."""
    return table.pivot(index="id", columns="lang", values=column)


def summarise(
    table: pd.DataFrame, column: str, params: Common, arm: str, model: str, task: str
) -> list[dict[str, Any]]:
    """Rows of results.csv for one metric: every language, and ``avg`` over the splits train, unseen and all."""
    scores = wide(table, column)
    by_language = mean_interval(scores[[lang for lang in params.all_languages if lang in scores]], seed=params.seed)
    every = by_language.pop("avg")
    found = rows(params, arm, model, task, column, by_language)
    for split, languages in (("train", params.languages), ("unseen", params.unseen)):
        if present := [lang for lang in languages if lang in scores]:
            average = mean_interval(scores[present], seed=params.seed)["avg"]
            found += rows(params, arm, model, task, column, {"avg": average}, split)
    return found + rows(params, arm, model, task, column, {"avg": every}, "all")


def length_controlled_rows(verdicts: pd.DataFrame, params: Common, arm: str, model: str) -> list[dict[str, Any]]:
    """Length-controlled win rates by language and their averages; a fitted figure, reported without an interval."""
    nan = float("nan")
    by_language = {
        str(lang): Interval(length_controlled(group), nan, nan, len(group)) for lang, group in verdicts.groupby("lang")
    }
    found = rows(params, arm, model, "x_alpacaeval", "lc_win_rate", by_language)
    splits = {"train": params.languages, "unseen": params.unseen, "all": params.all_languages}
    for split, languages in splits.items():
        if values := [by_language[lang].value for lang in languages if lang in by_language]:
            average = Interval(sum(values) / len(values), nan, nan, verdicts["id"].nunique())
            found += rows(params, arm, model, "x_alpacaeval", "lc_win_rate", {"avg": average}, split)
    return found


def premise_table(
    judge: Judge, prompts: dict[str, list[Record]], answers: dict[tuple[str, str], dict[str, str]]
) -> pd.DataFrame:
    """Scores (0-10) of what the model writes itself and of what it translates.

    Parameters
    ----------
    judge : Judge
        Scores single answers.
    prompts : dict of language to records
        With ``id``.
    answers : dict of (source, target) to texts by id
        (l, l) holds the direct answers, (s, t) the translations that parsed.

    Returns
    -------
    DataFrame
        ``id``, ``lang``, ``source``, ``kind`` (self_generation or self_translation), ``score`` (NaN where the judge
        gave none), ``status``.
    """
    asked = [
        (source, target, record)
        for (source, target), texts in answers.items()
        for record in prompts[target]
        if record["id"] in texts
    ]
    scores = judge.score([Answer(record, answers[source, target][record["id"]]) for source, target, record in asked])
    return pd.DataFrame(
        [
            {
                "id": record["id"],
                "lang": target,
                "source": source,
                "kind": "self_generation" if source == target else "self_translation",
                "score": score.points,
                "status": score.status,
            }
            for (source, target, record), score in zip(asked, scores, strict=True)
        ],
        columns=["id", "lang", "source", "kind", "score", "status"],
    ).astype({"score": float})


def reward_table(judge: Judge, prompts: dict[str, list[Record]], pairs: Sequence[Record]) -> pd.DataFrame:
    """Whether the judge agrees with each pair: ``id``, ``lang``, ``via`` and the columns of ``judging.agreement``."""
    by_id = {lang: {record["id"]: record for record in records} for lang, records in prompts.items()}
    cases = [Case(by_id[pair["lang"]][pair["id"]], pair["chosen"], pair["rejected"]) for pair in pairs]
    keys = pd.DataFrame([{name: pair[name] for name in KEYS} for pair in pairs], columns=KEYS)
    return pd.concat([keys, agreement(judge, cases)], axis=1)
