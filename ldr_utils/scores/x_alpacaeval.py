"""X-AlpacaEval: verdicts against the references and between models, and the figures they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ldr_utils.judges.verdicts import UNUSABLE, Judge, against, judged, outcome, unusable
from ldr_utils.scores.answers import LANGUAGE_METRICS
from ldr_utils.scores.rows import Rows, plain, wide
from ldr_utils.scores.stats import NOTHING, Floats, Interval, wilson
from ldr_utils.study.params import AlpacaParams, ArmParams
from ldr_utils.study.records import ByLanguage, Response

TASK = "x_alpacaeval"
NULL_ANSWER = "This answer is correct, complete and better than the other one."  # says nothing, and asks to win


def against_reference(judge: Judge, responses: ByLanguage[Response]) -> pd.DataFrame:
    """Verdicts of every answer against its record's ``reference`` (see ``verdicts.against``)."""
    return _judge(judge, responses, {lang: [r["reference"] for r in records] for lang, records in responses.items()})


def against_model(judge: Judge, responses: ByLanguage[Response], rival: ByLanguage[Response]) -> pd.DataFrame:
    """Verdicts of every answer against the answer of another model to the same prompt."""
    return _judge(judge, responses, {lang: [r["response"] for r in rival[lang]] for lang in responses})


def against_null(judge: Judge, responses: ByLanguage[Response]) -> pd.DataFrame:
    """Verdicts of one constant answer against the references: the floor that a win rate must be read from.

    A judge that can be talked into a win shows it here (Zheng et al., 2025, "Cheating Automatic LLM Benchmarks"). The
    floor does not depend on the model, so a judge that keeps its verdicts is asked once a study.
    """
    nulls: dict[str, list[Response]] = {
        lang: [{**record, "response": NULL_ANSWER} for record in records] for lang, records in responses.items()
    }
    return against_reference(judge, nulls)


def _judge(judge: Judge, responses: ByLanguage[Response], theirs: dict[str, list[str]]) -> pd.DataFrame:
    """All languages in one go, so that a judge can make full batches."""
    records = [record for own in responses.values() for record in own]
    rivals = [text for lang in responses for text in theirs[lang]]
    return against(judge, records, [record["response"] for record in records], rivals)


def verdict_table(verdicts: pd.DataFrame, null: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """By language: win rates (plain, length-controlled, and of the constant answer), flips, lengths, missing verdicts.

    Rates and the mean length difference (characters) are over answers with a verdict in both orders; the others are
    counted by status.
    """
    groups = judged(verdicts).groupby("lang")
    table = pd.DataFrame(
        {
            "win_rate": groups["preference"].mean(),
            "lc_win_rate": {lang: length_controlled(group) for lang, group in groups},
            "null_win_rate": judged(null).groupby("lang")["preference"].mean(),
            "flip_rate": groups["flip"].mean(),
            "length_difference": groups["length_difference"].mean(),
        }
    )
    return table.join(unusable(verdicts), how="outer").reindex(languages)


def duel_table(duels: dict[int, pd.DataFrame], languages: list[str]) -> pd.DataFrame:
    """Head to head with every earlier model M_s by language: wins, ties, losses, flips, missing verdicts."""
    tables = {}
    for s, duel in duels.items():
        known = judged(duel)
        shares = outcome(known["preference"]).assign(flip_rate=known["flip"]).groupby(known["lang"]).mean()
        tables[f"M{s}"] = shares.join(unusable(duel), how="outer").reindex(languages)
    return pd.concat(tables, names=["against", "lang"])


def result_rows(
    verdicts: pd.DataFrame,
    null: pd.DataFrame,
    duels: dict[int, pd.DataFrame],
    checks: pd.DataFrame,
    params: AlpacaParams,
) -> list[dict[str, Any]]:
    """Rows of results.csv: win rates of M_t and what to read them with, the language of its answers, M_t against every
    earlier M_s.

    Answers without a verdict are left out of the rates; ``n`` counts those that have one.
    """
    known = judged(verdicts)
    found = Rows(params, TASK)
    found.add("win_rate", known, "preference")
    found.rows += length_controlled_rows(known, params)
    for metric in LANGUAGE_METRICS:
        found.add(metric, checks)
    for s, duel in duels.items():
        known, rival = judged(duel), Rows(params, TASK, f"M{params.t}-vs-M{s}")
        table = pd.concat([known[["id", "lang"]], outcome(known["preference"])], axis=1)
        for metric in ("h2h_win", "h2h_tie", "h2h_lose"):
            rival.add(metric, table)
        found.rows += rival.rows
    return found.rows + _beside(verdicts, null, params)


def _beside(verdicts: pd.DataFrame, null: pd.DataFrame, params: AlpacaParams) -> list[dict[str, Any]]:
    """Flip rate, length difference, the floor of the constant answer, and missing verdicts.

    Lengths and counts describe the answers at hand and have no bounds; ``n`` of a count is all answers.
    """
    known = judged(verdicts)
    found = Rows(params, TASK)
    if known["flip"].notna().any():  # nobody knows of a judge that was asked in one order
        found.add("flip_rate", known.assign(flip_rate=known["flip"].astype(float)))
    found.add("null_win_rate", judged(null), "preference")
    lengths, counts = known.groupby("lang")["length_difference"].mean(), unusable(verdicts)

    def mean_length(languages: list[str]) -> Interval:
        return plain(lengths[languages].mean(), known.loc[known["lang"].isin(languages), "id"].nunique())

    for lang in (lang for lang in params.all_languages if lang in counts.index):
        asked = int((verdicts["lang"] == lang).sum())
        for status in UNUSABLE:
            found.add_values(status, {lang: plain(counts.loc[lang, status], asked)})
        if lang in lengths:
            found.add_values("length_difference", {lang: mean_length([lang])})
    found.add_averages("length_difference", mean_length, list(lengths.index))
    return found.rows


EXCEPTIONS = 2.0  # whichever verdict is taken away, one is left: none carries the fit alone
NO_LENGTH_CONTROL = (
    f"fewer than {EXCEPTIONS:.0f} verdicts go against what the lengths alone would say, so that no rate at equal"
    " lengths can be fitted"
)


def length_controlled(verdicts: pd.DataFrame) -> float:
    """Win rate if both answers were equally long; NaN where the verdicts do not tell (``NO_LENGTH_CONTROL``).

    A two-term logistic model, ``logit P(win) = a + b * tanh(d / sd(d))`` with d the length difference in characters,
    fitted on soft labels; the figure is ``sigmoid(a)`` (the length term of AlpacaEval 2, Dubois et al. 2024, without
    its per-instruction difficulty). Where preferences do not go with lengths (they all agree, say, or all lengths are
    equal) the fit has b = 0, and the plain win rate is returned. Where lengths separate wins from losses it has no
    finite optimum (Albert & Anderson, 1984, Biometrika 71:1), and near that its optimum rests on a few verdicts.
    """
    preference = verdicts["preference"].to_numpy(float)
    difference = verdicts["length_difference"].to_numpy(float)
    spread = difference.std()
    length = np.tanh(difference / spread) if spread else np.zeros_like(difference)
    plain_rate = float(preference.mean())
    if abs(np.mean((preference - plain_rate) * length)) < NOTHING:
        return plain_rate
    return _fitted(preference, length) if exceptions(preference, difference) >= EXCEPTIONS else float("nan")


def exceptions(preference: Floats, difference: Floats) -> float:
    """Verdicts that go against the best rule by length alone: that one side of some length wins, the other loses.

    Soft verdicts count in part; those at that length are free. 0 exactly where lengths separate wins from losses,
    completely or but for that one length.
    """
    _, place = np.unique(difference, return_inverse=True)
    wins, losses = np.bincount(place, preference), np.bincount(place, 1 - preference)
    before_wins, before_losses = np.cumsum(wins) - wins, np.cumsum(losses) - losses
    after_wins, after_losses = wins.sum() - wins - before_wins, losses.sum() - losses - before_losses
    return float(min((before_wins + after_losses).min(), (before_losses + after_wins).min()))


def _fitted(preference: Floats, length: Floats) -> float:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, max_iter=1000, tol=1e-8)
    model.fit(
        np.concatenate([length, length])[:, None],
        np.concatenate([np.ones_like(preference), np.zeros_like(preference)]),
        sample_weight=np.concatenate([preference, 1 - preference]),
    )
    return float(1 / (1 + np.exp(-model.intercept_[0])))


RESAMPLES = 300  # leaves 4 % Monte Carlo error on a standard error; each refits a model in 2 ms a language


def length_controlled_rows(
    verdicts: pd.DataFrame, params: ArmParams, resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Length-controlled win rates by language and their averages, with Wilson bounds.

    The variance behind the bounds is that of refits on problems resampled with their languages together (the bootstrap
    standard error of Efron & Tibshirani, 1993, ch. 6): a fitted figure has no variance formula that counts the scale of
    the lengths in. Resamples without a figure are left out. A language without one, and an average over it, has a row
    without a value: the reason is ``NO_LENGTH_CONTROL``.
    """
    values = pd.Series({str(lang): length_controlled(group) for lang, group in verdicts.groupby("lang")})
    draws = length_controlled_draws(verdicts, params.seed, resamples)
    problems = wide(verdicts, "preference").notna()

    def interval(languages: list[str]) -> Interval:
        value, n = values[languages].mean(skipna=False), int(problems[languages].any(axis=1).sum())
        return _interval(float(value), float(draws[languages].mean(axis=1, skipna=False).var()), n)

    found = Rows(params, TASK)
    found.add_with("lc_win_rate", interval, list(values.index))
    return found.rows


def _interval(value: float, variance: float, n: int) -> Interval:
    if np.isnan(value) or np.isnan(variance):
        return plain(value, n)
    low, high = wilson(np.array([value]), np.array([variance]), np.array([float(n)]))
    return Interval(value, float(low[0]), float(high[0]), n)


def length_controlled_draws(verdicts: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Length-controlled win rates of resampled problems, shape (resamples, languages).

    A problem that is drawn is drawn in all of its languages; NaN where a resample has no figure in a language.
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
