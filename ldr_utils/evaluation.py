"""From responses to scores: one table a task, and the rows of results.csv it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ldr_utils.judging import Answer, Case, Judge, agreement, length_controlled
from ldr_utils.langid import off_target
from ldr_utils.mgsm import extract, gold_number
from ldr_utils.params import Common
from ldr_utils.records import Record
from ldr_utils.results import rows, splits
from ldr_utils.stats import Floats, Interval, mean_interval, wilson

KEYS = ["id", "lang", "via"]  # what tells a pair from every other
MGSM_METRICS = ("accuracy", "accuracy_phrase", "off_target", "no_answer")
RESAMPLES = 300  # leaves 4 % Monte Carlo error on a standard error; each refits a model in 2 ms a language


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
        One row a response: ``id``, ``lang``, ``level`` (where the record has one), and the ``MGSM_METRICS``, each 0 or
        1. ``accuracy`` takes the number after an answer phrase or, failing that, the last one; ``accuracy_phrase``
        only the former: a wide gap between them says that a model does not end as it was asked to. ``no_answer`` is
        no number at all.
    """
    return pd.DataFrame([_graded(record, languages) for record in responses])


def _graded(record: Record, languages: list[str]) -> Record:
    text, lang, gold = record["response"], record["lang"], gold_number(record["gold"])
    found = extract(text, lang)
    return {
        "id": record["id"],
        "lang": lang,
        "level": record.get("level"),
        "accuracy": float(found.value == gold),
        "accuracy_phrase": float(found.phrase == gold),
        "off_target": float(off_target(text, lang, languages)),
        "no_answer": float(found.value is None),
    }


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Problems by languages, as ``stats`` wants it."""
    return table.pivot(index="id", columns="lang", values=column)


def summarise(
    table: pd.DataFrame, column: str, params: Common, arm: str, model: str, task: str
) -> list[dict[str, Any]]:
    """Rows of results.csv for one metric: every language, and ``avg`` over the splits train, unseen and all."""
    scores = wide(table, column)
    by_language = mean_interval(scores[[lang for lang in params.all_languages if lang in scores]])
    every = by_language.pop("avg")
    found = rows(params, arm, model, task, column, by_language)
    for split, languages in (("train", params.languages), ("unseen", params.unseen)):
        if present := [lang for lang in languages if lang in scores]:
            average = mean_interval(scores[present])["avg"]
            found += rows(params, arm, model, task, column, {"avg": average}, split)
    return found + rows(params, arm, model, task, column, {"avg": every}, "all")


def length_controlled_rows(
    verdicts: pd.DataFrame, params: Common, arm: str, model: str, resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Length-controlled win rates by language and their averages, with Wilson bounds.

    The variance behind the bounds is that of refits on problems resampled with their languages together (the bootstrap
    standard error of Efron & Tibshirani, 1993, ch. 6): a fitted figure has no variance formula that counts the scale of
    the lengths in.
    """
    values = pd.Series({str(lang): length_controlled(group) for lang, group in verdicts.groupby("lang")})
    draws = length_controlled_draws(verdicts, params.seed, resamples).fillna(values)
    problems = wide(verdicts, "preference").notna()

    def interval(languages: list[str]) -> Interval:
        value, n = values[languages].mean(), int(problems[languages].any(axis=1).sum())
        return _interval(float(value), float(draws[languages].mean(axis=1).var()), n)

    found = rows(params, arm, model, "x_alpacaeval", "lc_win_rate", {lang: interval([lang]) for lang in values.index})
    for split, languages in splits(params).items():
        if present := [lang for lang in languages if lang in values]:
            found += rows(params, arm, model, "x_alpacaeval", "lc_win_rate", {"avg": interval(present)}, split)
    return found


def _interval(value: float, variance: float, n: int) -> Interval:
    low, high = wilson(np.array([value]), np.array([variance]), np.array([float(n)]))
    return Interval(value, float(low[0]), float(high[0]), n)


def length_controlled_draws(verdicts: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Length-controlled win rates of resampled problems, shape (resamples, languages).

    A problem that is drawn is drawn in all of its languages; NaN where a resample holds no row of a language.
    """
    problems, rng = pd.Index(verdicts["id"].unique()), np.random.default_rng(seed)
    groups = {str(lang): group for lang, group in verdicts.groupby("lang")}
    places = {lang: pd.Index(group["id"]).get_indexer(problems) for lang, group in groups.items()}
    draws: Floats = np.full((resamples, len(groups)), np.nan)
    for draw in draws:
        drawn = rng.integers(0, len(problems), len(problems))
        for column, (lang, group) in enumerate(groups.items()):
            taken = places[lang][drawn]
            if (taken >= 0).any():
                draw[column] = length_controlled(group.iloc[taken[taken >= 0]])
    return pd.DataFrame(draws, columns=list(groups))


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
