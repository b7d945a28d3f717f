"""For each table of the paper one of ours: its figures, ours, the difference, and what differs in the set-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.judges.verdicts import UNUSABLE
from ldr_utils.report import paper
from ldr_utils.report.paper import TRAINED, UNSEEN
from ldr_utils.scores.x_alpacaeval import NO_LENGTH_CONTROL
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.text import one_line

DOMINANT = "en"
MEANS = {
    "mgsm": ["accuracy", "lc_accuracy", "off_target", "undecided"],
    "x_alpacaeval": ["win_rate", "off_target", "undecided"],
}
AVERAGES = ["avg train", "avg unseen"]
ROWS = ["PAPER", "OURS", "95 % interval", "ours - paper"]
OUTCOMES = ["h2h_win", "h2h_tie", "h2h_lose"]
BESIDE = [
    "win_rate",
    "lc_win_rate",
    "null_win_rate",
    "flip_rate",
    "length_difference",
    "refused",
    "unparsable",
    "failed",
]
PREMISE = {"self_generation": 1.0, "self_translation": 1.0, "accuracy": 100.0}  # metric: points in one unit
JUDGED = {"x_alpacaeval", "premise", "mt_bench"}
MT_BENCH = (
    "the questions are those of `mt_bench_dir` (paper: translations that it does not name), every answer is greedy"
    " (MT-Bench samples with a temperature by category), the judge scores in our own wording."
)
MT_BENCH_BESIDE = ["score_turn1", "score_turn2", "refused", "unparsable", "failed"]
MICRO = {name: test.micro for name, test in TEST_SETS.items()} | {
    "premise": "scores come from a rubric (paper: GPT-4). The paper has no figures for M1.",
    "mt_bench": MT_BENCH,
}
PUBLISHED = {
    "premise": "the judge scores from 0 to 10 in our own wording. The paper has no figures for M1.",
    "mt_bench": MT_BENCH,
}


def named(results: pd.DataFrame) -> pd.DataFrame:
    """Rows with the arm in ``model`` (M1 of another arm by its label) and the split in the ``lang`` of averages."""
    models = [
        model if arm == MAIN else ARMS[arm].model(int(model[1:].partition("-")[0]))  # M2, or M2-vs-M0
        for arm, model in zip(results["arm"], results["model"], strict=True)
    ]
    return results.assign(model=models, lang=results["lang"].where(results["lang"] != "avg", "avg " + results["split"]))


def paper_values(task: str, metric: str) -> pd.DataFrame:
    """The paper's models by languages, with averages over its own trained and unseen languages."""
    values = paper.values(task, metric)
    averages = {"avg train": [DOMINANT, *TRAINED], "avg unseen": UNSEEN.get(task, [])}
    found = {name: values[own].mean(axis=1) for name, own in averages.items() if own and {*own} <= {*values.columns}}
    return values.drop(columns="avg", errors="ignore").assign(**found)


def versus(
    results: pd.DataFrame, task: str, metric: str, languages: Sequence[str], scale: float = 100.0
) -> pd.DataFrame:
    """What the paper reported and what came out here, model by model.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv.
    languages : sequence of str
        Ours, in order; those that the test set lacks are left out.
    scale : float
        Points in one unit: 100 for rates, 1 for scores.

    Returns
    -------
    DataFrame
        Text; index (model, one of ``ROWS``), a column a language of ours and an average. Empty where one side has
        nothing.
    """
    ours = named(results[(results["task"] == task) & (results["metric"] == metric)])
    theirs = paper_values(task, metric)
    columns = [name for name in [*languages, *AVERAGES] if name in {*ours["lang"]}]
    order = dict.fromkeys(["M0", "SFT", *ours["model"]])
    table = {}
    for model in (model for model in order if model in {*ours["model"]}):
        own = ours[ours["model"] == model].drop_duplicates("lang").set_index("lang").reindex(columns)
        known = theirs.reindex(index=[model], columns=columns).iloc[0]
        bounds = [_range(scale * low, scale * high) for low, high in zip(own["low"], own["high"], strict=True)]
        cells = [_numbers(scale * known), _numbers(scale * own["value"]), bounds]
        cells.append(_numbers(scale * (own["value"] - known), sign="+"))
        table.update({(model, row): cell for row, cell in zip(ROWS, cells, strict=True)})
    index = pd.MultiIndex.from_arrays([[model for model, _ in table], [row for _, row in table]], names=["model", ""])
    found = pd.DataFrame(list(table.values()), index=index, columns=columns)
    return found[(found != "").any(axis=1)]  # without the paper's rows for a model that it does not have


def duels_versus(results: pd.DataFrame, languages: Sequence[str]) -> pd.DataFrame:
    """Win / tie / lose in percent of every pair of models, and the difference in wins with our interval.

    Index and columns as ``versus`` has them.
    """
    own = results[results["arm"] == MAIN]
    found = versus(own, "x_alpacaeval", "h2h_win", languages)
    shares = {metric: named(own[own["metric"] == metric]) for metric in OUTCOMES}
    ours = [rows.pivot_table(index="model", columns="lang", values="value") for rows in shares.values()]
    theirs = [paper_values("x_alpacaeval", metric) for metric in OUTCOMES]
    texts: dict[Any, list[str]] = {}
    for row, tables in (("PAPER", theirs), ("OURS", ours)):
        for model in dict.fromkeys(found.index.get_level_values(0)):
            parts = [_numbers(100 * table.reindex(index=[model], columns=found.columns).iloc[0]) for table in tables]
            texts[model, row] = ["/".join(cell) if all(cell) else "" for cell in zip(*parts, strict=True)]
    cells = [texts.get(key, own) for key, own in zip(found.index, found.to_numpy().tolist(), strict=True)]
    found = pd.DataFrame(cells, index=found.index, columns=found.columns)
    return found.rename(index={"95 % interval": "wins, 95 %", "ours - paper": "wins, diff."})


def judge_table(results: pd.DataFrame, languages: Sequence[str]) -> pd.DataFrame:
    """Beside every win rate what it must be read with; rates in percent, lengths in characters.

    Returns
    -------
    DataFrame
        Index (model, language or average), a column each of ``BESIDE`` that the run has.
    """
    rows = named(results[(results["task"] == "x_alpacaeval") & results["metric"].isin(BESIDE)])
    table = rows.pivot_table(index=["model", "lang"], columns="metric", values="value", sort=False)
    table = table.reindex(columns=[metric for metric in BESIDE if metric in table])
    rates = [str(metric) for metric in table if str(metric).endswith("rate")]
    table[rates] = 100 * table[rates]
    order = [(m, lang) for m in dict.fromkeys(rows["model"]) for lang in [*languages, *AVERAGES]]
    return table.reindex([key for key in order if key in table.index])


def without_verdict(results: pd.DataFrame) -> str:
    """How many answers have no verdict, by reason, all models together."""
    own = results[results["task"] == "x_alpacaeval"]
    counts = {metric: own.loc[own["metric"] == metric, "value"].sum() for metric in UNUSABLE}
    return ", ".join(f"{count:.0f} {metric}" for metric, count in counts.items())


def uncontrolled(results: pd.DataFrame) -> str:
    """Where a win rate has no length-controlled one beside it, and why; nothing where each has."""
    own = results[(results["task"] == "x_alpacaeval") & (results["metric"] == "lc_win_rate") & results["value"].isna()]
    rows = named(own[own["lang"] != "avg"])
    found = [f"{model} in {', '.join(lang)}" for model, lang in rows.groupby("model", sort=False)["lang"]]
    return f"No length-controlled rate of {'; '.join(found)}: {NO_LENGTH_CONTROL}." if found else ""


def means(results: pd.DataFrame, languages: Sequence[str]) -> pd.DataFrame:
    """The ``MEANS`` of every model, over the seeds that the rows are of.

    Returns
    -------
    DataFrame
        Index (task, metric, model), a column a language and an average.
    """
    wanted = [(task, metric) for task, metrics in MEANS.items() for metric in metrics]
    parts = [results[(results["task"] == task) & (results["metric"] == metric)] for task, metric in wanted]
    rows, keys = named(pd.concat(parts)), ["task", "metric", "model"]
    table = rows.pivot_table(index=keys, columns="lang", values="value")
    table = table[[name for name in [*languages, *AVERAGES, "avg all"] if name in table]]
    return table.loc[list(dict.fromkeys(zip(*(rows[key] for key in keys), strict=True)))]


def grid(results: pd.DataFrame, task: str, metrics: Sequence[str], languages: Sequence[str]) -> pd.DataFrame:
    """Ours alone, value and 95 % interval as text: index (metric, model), a column a language and an average.

    Without ``metrics``, all that the task has. Empty where the run has no such rows.
    """
    rows = named(results[(results["task"] == task) & (results["metric"].isin(metrics) | (not metrics))])
    values = zip(*(rows[name].tolist() for name in ("value", "low", "high")), strict=True)
    text = [_number(x, 3) + (f" ({_range(low, high, 3)})" if pd.notna(low) else "") for x, low, high in values]
    table = rows.assign(text=text).pivot_table(
        index=["metric", "model"], columns="lang", values="text", aggfunc="first", sort=False
    )
    return table[[name for name in [*languages, *AVERAGES, "avg all"] if name in table]].fillna("")


def paper_only(task: str) -> pd.DataFrame:
    """A table of the paper for which a study of ours may have no counterpart: models by metrics or languages."""
    if task == "mt_bench":
        return paper.values(task, "score")
    metrics = ["mmlu", "hellaswag", "arc_challenge", "truthfulqa_mc1", "truthfulqa_mc2"]
    return pd.concat({metric: paper.values(task, metric)["avg"] for metric in metrics}, axis=1)


def premise(results: pd.DataFrame, languages: Sequence[str]) -> pd.DataFrame:
    """``versus`` of the judge's scores (0-10) and of reward accuracy (percent): index (metric, model, row)."""
    own = results[results["arm"] == MAIN]
    parts = {metric: versus(own, "reward", metric, languages, scale) for metric, scale in PREMISE.items()}
    return pd.concat(parts, names=["metric"])


def deviations(values: Mapping[str, Any]) -> dict[str, str]:
    """What differs from the paper's set-up, in a line a section, from a run's resolved parameters."""
    source = str(values.get("source", "micro"))
    model = f"model `{values.get('base_model')}`"
    judge = f", judge `{' '.join(str(values[key]) for key in ('judge', 'judge_model') if values.get(key))}`"
    if values.get("judge_protocol") == "alpaca_eval":
        judge += " asked by AlpacaEval's published protocol (its prompt, one order a case)"
    edition = str(values.get("mgsm_set", "mgsm"))
    published = {name: test.published_in(edition) for name, test in TEST_SETS.items()} | PUBLISHED
    found = MICRO if source == "micro" else published
    return {name: f"*Deviates:* {model}{judge if name in JUDGED else ''}; {line}" for name, line in found.items()}


def _number(value: float, digits: int = 1, sign: str = "") -> str:
    return "" if pd.isna(value) else f"{value:{sign}.{digits}f}"


def _numbers(values: pd.Series, sign: str = "") -> list[str]:
    return [_number(value, sign=sign) for value in values]


def _range(low: float, high: float, digits: int = 1) -> str:
    return "" if pd.isna(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def judged_by(params: JudgeParams) -> str:
    """The judge of a study and how it was asked, in words."""
    judge = one_line(" ".join(filter(None, (params.judge, params.judge_model))))
    how = "in both orders" if params.judge_protocol == "both_orders" else f"by the protocol {params.judge_protocol}"
    return f"`{judge}`, asked {how}"
