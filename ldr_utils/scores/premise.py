"""Look at a set of pairs: what was lost, and whether the premise behind the reward is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ldr_utils.judges.verdicts import Answer, Case, Judge, agrees, judged, unusable
from ldr_utils.languages.units import units
from ldr_utils.method.pairs import PairSet
from ldr_utils.method.translation import parse_translation
from ldr_utils.scores.rows import Rows, plain, times
from ldr_utils.scores.stats import mean_interval
from ldr_utils.study.arms import MAIN
from ldr_utils.study.params import ArmParams
from ldr_utils.study.records import Asked, ByDirection, ByLanguage, Pair, Prompt, Response, Translation


def pair_table(pairs: PairSet) -> pd.DataFrame:
    """Kept pairs, how many of them have equal sides, and dropped rows, by language of the prompt."""
    kept = pd.DataFrame(pairs.kept, columns=["lang", "chosen", "rejected"])
    dropped = pd.DataFrame(pairs.dropped, columns=["lang"])
    equal = kept[kept["chosen"] == kept["rejected"]]
    languages = list(dict.fromkeys([*kept["lang"], *dropped["lang"]]))
    counts = {"kept": kept, "of which equal sides": equal, "dropped": dropped}
    return (
        pd.DataFrame({name: table.groupby("lang").size().reindex(languages) for name, table in counts.items()})
        .fillna(0)
        .astype(int)
    )


def attrition(pairs: PairSet) -> dict[str, int]:
    """From all possible pairs to the kept ones, one entry a reason of loss."""
    reasons = Counter(row["reason"] for row in pairs.dropped)
    return {"possible": len(pairs.kept) + len(pairs.dropped), **reasons, "kept": len(pairs.kept)}


def side_lengths(kept: Sequence[Pair], languages: list[str]) -> pd.DataFrame:
    """Length of both sides, in the order of the languages: ``lang``, ``side``, ``units`` (see ``languages.units``)."""
    return pd.DataFrame(
        [
            {"lang": lang, "side": side, "units": len(units(text, lang))}
            for lang in languages
            for pair in kept
            if pair["lang"] == lang
            for side, text in (("chosen", pair["chosen"]), ("rejected", pair["rejected"]))
        ],
        columns=["lang", "side", "units"],
    )


def score_answers(
    judge: Judge,
    prompts: ByLanguage[Prompt],
    responses: ByLanguage[Response],
    translations: ByDirection[Translation],
) -> pd.DataFrame:
    """Scores of direct answers and of translations that parsed (see ``premise_table``)."""
    texts = {(lang, lang): {r["id"]: r["response"] for r in records} for lang, records in responses.items()}
    for direction, replies in translations.items():
        parsed = {reply["id"]: parse_translation(reply["response"]).text for reply in replies}
        texts[direction] = {example: text for example, text in parsed.items() if text}
    return premise_table(judge, prompts, texts)


def mean_scores(scores: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Mean scores by language: ``lang``, ``self_generation``, ``self_translation`` (over answers with a score)."""
    means = scores.groupby(["lang", "kind"])["score"].mean().unstack("kind")
    return means.reindex(languages).reset_index().rename_axis(columns=None)


def score_counts(scores: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Answers put to the judge and those it gave no score, by language."""
    return scores.groupby("lang").size().to_frame("answers").join(unusable(scores)).reindex(languages)


def reward_summary(rewards: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Reward accuracy by language, over pairs that the judge decides; beside it, pairs without a verdict."""
    by_language = rewards.groupby("lang")["agrees"]
    table = pd.DataFrame({"accuracy": by_language.mean(), "decided": by_language.count(), "pairs": by_language.size()})
    return table.join(unusable(rewards)).reindex(languages)


def answers_are_its_own(t: int, arm: str) -> bool:
    """Whether the answers behind an arm's pairs are of a model of its own: M_0's are those of the main arm."""
    return t > 0 or arm == MAIN


def result_rows(scores: pd.DataFrame | None, rewards: pd.DataFrame, params: ArmParams) -> list[dict[str, Any]]:
    """Rows of results.csv, task ``reward`` of M_t; without ``scores`` reward accuracy alone."""
    found = Rows(params, "reward")
    if scores is not None:
        _add_scores(found, scores)
    for lang in params.languages:
        decided = rewards[(rewards["lang"] == lang) & rewards["agrees"].notna()]
        if len(decided):  # several pairs of one problem (one a language) are one unit of resampling
            mean = decided.groupby("id")["agrees"].mean().to_frame(lang)
            found.add_values("accuracy", {lang: mean_interval(mean)[lang]})
    return found.rows


def _add_scores(found: Rows, scores: pd.DataFrame) -> None:
    """Mean scores (0-10) of what M_t writes itself, and of what it translates."""
    for kind in ("self_generation", "self_translation"):
        own = judged(scores[scores["kind"] == kind])
        table = own.pivot_table(index="id", columns="lang", values="score")
        present = [lang for lang in found.params.languages if lang in table]  # others have no score at all
        if not present:
            continue
        intervals = mean_interval(table[present] / 10)
        found.add_values(kind, {lang: times(10, intervals[lang]) for lang in present})


def attrition_rows(pairs: PairSet, params: ArmParams) -> list[dict[str, Any]]:
    """Rows of results.csv, task ``attrition``: counts by language of the prompt, which have no interval.

    ``n`` is the number of possible pairs.
    """
    found = Rows(params, "attrition")
    for lang in params.languages:
        kept = sum(pair["lang"] == lang for pair in pairs.kept)
        reasons = Counter(row["reason"] for row in pairs.dropped if row["lang"] == lang)
        possible = kept + reasons.total()
        for metric, count in {"kept": kept, **{f"dropped:{reason}": n for reason, n in reasons.items()}}.items():
            found.add_values(metric, {lang: plain(count, possible)})
    return found.rows


KEYS = ["id", "lang", "via"]  # what tells a pair from every other


def premise_table(
    judge: Judge, prompts: ByLanguage[Asked], answers: dict[tuple[str, str], dict[str, str]]
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


def reward_table(judge: Judge, prompts: ByLanguage[Asked], pairs: Sequence[Pair]) -> pd.DataFrame:
    """Whether the judge agrees with each pair: ``id``, ``lang``, ``via`` and the columns of ``verdicts.agrees``."""
    by_id = {lang: {record["id"]: record for record in records} for lang, records in prompts.items()}
    cases = [Case(by_id[pair["lang"]][pair["id"]], pair["chosen"], pair["rejected"]) for pair in pairs]
    keys = pd.DataFrame(list(pairs), columns=KEYS)
    return pd.concat([keys, agrees(judge, cases)], axis=1)
