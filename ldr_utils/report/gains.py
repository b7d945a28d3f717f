"""What the study found, beside what the paper reported; for one run, or for several seeds taken together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.report import paper
from ldr_utils.report.paper import TRAINED, UNSEEN
from ldr_utils.scores.answers import LANGUAGE_METRICS
from ldr_utils.scores.rows import read_rows, splits, wide
from ldr_utils.scores.rows import rows as result_rows
from ldr_utils.scores.stats import combine_seeds, holm, mean_interval, paired_difference
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import Common, ReportParams, StudyParams, load_params
from ldr_utils.study.paths import Run
from ldr_utils.study.stages import models as evaluated
from ldr_utils.study.stages import places
from ldr_utils.study.text import markdown

ABLATION = [("mgsm", "non-dominant"), ("mgsm", "dominant"), ("mgsm", "unseen"), ("x_alpacaeval", "non-dominant")]
ALPHA = 0.05

Model = tuple[str, int]  # (arm, t)


def runs_of(params: ReportParams) -> list[Run]:
    """What a report is about: the runs that it was given, or the one in whose folder it is written."""
    return [Run.at(folder) for folder in params.runs or [params.run_dir]]


def collect(runs: Sequence[Run]) -> pd.DataFrame:
    """All rows of runs, of every stage that has any, in the order of the work."""
    folders = [run.root / place.folder for run in runs for place in places(study(run)) if place.stage.name != "report"]
    paths = [folder / "results.csv" for folder in folders]
    return pd.concat([read_rows(path) for path in paths if path.exists()], ignore_index=True)


def models(params: ReportParams) -> list[Model]:
    """(arm, t) of every evaluated model: the main arm's M_0..M_T, then those of each other arm."""
    every = evaluated(params, "every model")
    return [(arm, t) for own in (MAIN, *others(params)) for t, arm in every if arm == own]


def others(params: ReportParams) -> list[str]:
    """The arms besides the main one: baselines and ablations."""
    return [arm for arm in params.arms if arm != MAIN]


def study(run: Run) -> StudyParams:
    """The resolved parameters of a run.

    Raises
    ------
    InputError
        When the folder is not a run folder, or its parameters are none of ours.
    """
    if not run.params.exists():
        raise InputError(f"{run.root}: not a run folder (no params.yaml); give a folder that ldr run made")
    return load_params(run.params)


def read_params(run: Run) -> ReportParams:
    """The part of a run's resolved parameters that the report needs (see ``study``)."""
    values = study(run).model_dump(include=set(ReportParams.model_fields))
    return ReportParams(**values | {"run_dir": str(run.root)})


def problem_scores(runs: Sequence[Run], task: str, arm: str, t: int, column: str = "") -> pd.DataFrame:
    """Scores by problem and language of M_t, the runs' problems kept apart (see ``stats.combine_seeds``).

    Those that the gains are about, or those of another ``column``: of the same file, or of the checks.

    Raises
    ------
    InputError
        When an earlier version wrote the file, without that column.
    """
    test = TEST_SETS[task]
    file = test.checks if column in LANGUAGE_METRICS else test.scores
    tables = [_scores(run.stage(t, task, arm) / file, column or test.column) for run in runs]
    return tables[0] if len(tables) == 1 else combine_seeds(tables)


def _scores(path: Path, column: str) -> pd.DataFrame:
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    if column not in table:
        raise InputError(f"{path}: has no column {column}, which is new; go on with that run (ldr run), then report")
    return wide(table, column)


def levels(runs: Sequence[Run], params: ReportParams, task: str, metric: str = "") -> pd.DataFrame:
    """Scores of every model as rows of results.csv, all seeds together, with their bounds.

    Those that the gains are about, or those of another ``metric`` that has a column (see ``problem_scores``).
    """
    table = []
    for arm, t in models(params):
        scores = problem_scores(runs, task, arm, t, metric)
        add = partial(result_rows, params, arm, f"M{t}", task, metric or TEST_SETS[task].paper_metric)
        found = mean_interval(scores[[lang for lang in params.all_languages if lang in scores]])
        table += add({lang: found[lang] for lang in found if lang != "avg"})
        for split, languages in splits(params).items():
            if present := [lang for lang in languages if lang in scores]:
                table += add({"avg": mean_interval(scores[present])["avg"]}, split)
    return pd.DataFrame(table)


def groups(params: Common) -> dict[str, list[str]]:
    """The averages that the paper's claims are about."""
    found = {
        "non-dominant": params.non_dominant,
        "dominant": [params.dominant],
        "trained": params.languages,
        "unseen": params.unseen,
    }
    return {name: languages for name, languages in found.items() if languages}


def steps(params: ReportParams) -> list[tuple[str, Model, Model]]:
    """The comparisons to make: name, the model after, the model before.

    Those of the paper (an iteration against the one before, M1 against the SFT baseline), and every model of the main
    arm against that of any other arm in the same iteration.
    """
    last = params.iterations
    found = [(f"M{t + 1} - M{t}", (MAIN, t + 1), (MAIN, t)) for t in range(last)]
    if last > 1:
        found.append((f"M{last} - M0", (MAIN, last), (MAIN, 0)))
    rivals = [(arm, t) for arm, t in models(params) if arm != MAIN]
    return found + [(f"M{t} - {ARMS[arm].model(t)}", (MAIN, t), (arm, t)) for arm, t in rivals]


def gains(runs: Sequence[Run], params: ReportParams) -> pd.DataFrame:
    """Paired differences between models on the same problems, ours and the paper's.

    Returns
    -------
    DataFrame
        ``task``, ``step`` (e.g. M1 - M0), ``languages`` (a group; in brackets those that the test set has, where it has
        not all), ``ours``, ``low``, ``high`` (95 % bounds), ``p`` (permutation, Holm-corrected over the table),
        ``shown`` (see ``shown``), ``n`` (problems), ``paper`` (NaN where it reports nothing). In points (0-100).
    """
    rows: list[dict[str, Any]] = []
    for task in TEST_SETS:
        scores = {model: problem_scores(runs, task, *model) for model in models(params)}
        for step, after, before in steps(params):
            rows += step_gains(task, step, scores[after], scores[before], params)
    return corrected(pd.DataFrame(rows))


def step_gains(
    task: str, step: str, after: pd.DataFrame, before: pd.DataFrame, params: Common, with_paper: bool = True
) -> list[dict[str, Any]]:
    """Rows of ``gains`` of two models, p not yet corrected; ``step`` names them, such as ``M1 - M0``."""
    rows = []
    for name, wanted in groups(params).items():
        if found := group_gain(after, before, wanted, params.seed):  # real test sets are not made in every language
            own = {"task": task, "step": step, "languages": name + found.pop("only")}
            paper = paper_gain(task, name, *step.split(" - ")) if with_paper else float("nan")
            rows.append(own | found | {"paper": paper})
    return rows


def group_gain(after: pd.DataFrame, before: pd.DataFrame, wanted: list[str], seed: int) -> dict[str, Any]:
    """Mean paired difference over those of the languages that both tables have; nothing where there are none."""
    languages = [lang for lang in wanted if lang in after and lang in before]
    if not languages:
        return {}
    d = paired_difference(after[languages], before[languages], seed=seed)["avg"]
    only = "" if languages == wanted else f" ({', '.join(languages)} only)"
    return {"only": only, "ours": 100 * d.value, "low": 100 * d.low, "high": 100 * d.high, "p": d.p, "n": d.n}


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """p-values Holm-corrected over the table, and what they say."""
    table = table.assign(p=list(holm({str(k): p for k, p in table["p"].items()}).values()))
    return table.assign(shown=[shown(p, value) for p, value in zip(table["p"], table["ours"], strict=True)])


def shown(p: float, difference: float) -> str:
    """What a difference and its corrected p-value say: ``up``, ``down``, or ``no`` (not significant)."""
    return "no" if p >= ALPHA else "up" if difference > 0 else "down"


def ablation(runs: Sequence[Run], params: ReportParams) -> pd.DataFrame:
    """M0, and M1 of every arm: its level, and what it has over M1 of the main arm on the same problems.

    Returns
    -------
    DataFrame
        ``arm`` and ``label`` (of M0 ``M0``), ``panel`` (test set and languages), ``value``, ``low``, ``high``,
        ``difference``, ``difference_low``, ``difference_high`` (NaN for the main arm itself), ``n`` (problems). In
        points (0-100), with 95 % bounds.
    """
    rows: list[dict[str, Any]] = []
    for task, group in ABLATION:
        main = problem_scores(runs, task, MAIN, 1)
        languages = [lang for lang in groups(params).get(group, []) if lang in main]
        if not languages:  # real test sets are not made in every language
            continue
        for arm, t in [(MAIN, 0), *((arm, 1) for arm in params.arms)]:
            own = problem_scores(runs, task, arm, t)[languages]
            level = mean_interval(own)["avg"]
            row: dict[str, Any] = {"arm": arm, "label": ARMS[arm].label} if t else {"arm": "M0", "label": "M0"}
            row |= {"panel": f"{TEST_SETS[task].title} {group}", "n": level.n}
            row |= {"value": 100 * level.value, "low": 100 * level.low, "high": 100 * level.high}
            if (arm, t) != (MAIN, 1):
                d = paired_difference(own, main[languages], seed=params.seed)["avg"]
                row |= {"difference": 100 * d.value, "difference_low": 100 * d.low, "difference_high": 100 * d.high}
            rows.append(row)
    return pd.DataFrame(rows)


def ablation_markdown(table: pd.DataFrame) -> str:
    """One row an arm, one column a panel: level, and the difference from the main arm with its bounds."""
    level = table["value"].map("{:.1f}".format)
    bounds = table.filter(like="difference").to_numpy()
    difference = pd.Series([f" ({d:+.1f}: {low:+.1f} to {high:+.1f})" for d, low, high in bounds], table.index)
    arms = table.assign(text=level + difference.where(table["difference"].notna(), ""))
    arms = arms.pivot_table(index=["arm", "label"], columns="panel", values="text", aggfunc="first", sort=False)
    what = [ARMS[arm].description if arm in ARMS else "the base model" for arm, _ in arms.index]
    arms = arms.reset_index("arm", drop=True).reset_index()
    arms.insert(1, "what", what)
    return markdown(arms)


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with the test sets' names as people write them."""
    return table.assign(task=table["task"].replace({name: test.title for name, test in TEST_SETS.items()}))


def headline(gains: pd.DataFrame) -> str:
    """What the last model gained over M0 in the non-dominant languages, on MGSM where it has any of them."""
    own = gains[gains["languages"].str.startswith("non-dominant") & gains["step"].str.endswith(" - M0")]
    if own.empty:
        return "no test set has scores in a non-dominant language"
    last = own[own["task"] == own["task"].iloc[0]].iloc[-1]
    return f"{TEST_SETS[last['task']].title} {last['step']} in the non-dominant languages: {last['ours']:+.1f} points"


def paper_gain(task: str, group: str, after: str, before: str) -> float:
    """The paper's difference for the same group of languages (its own unseen ones), in points, or NaN."""
    languages = {
        "non-dominant": TRAINED,
        "dominant": ["en"],
        "trained": ["en", *TRAINED],
        "unseen": UNSEEN.get(task, []),
        "all": ["en", *TRAINED, *UNSEEN.get(task, [])],
    }[group]
    values = paper.values(task, TEST_SETS[task].paper_metric)
    if not languages or not {after, before} <= set(values.index):
        return float("nan")
    return 100 * float((values.loc[after, languages] - values.loc[before, languages]).to_numpy().mean())


def p_text(p: float) -> str:
    """A p-value with three decimals; one that would round to nothing says so."""
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def summary_markdown(table: pd.DataFrame) -> str:
    """The gains as markdown: what moved, by how much, and what the paper saw."""
    rows = table.copy()
    rows["ours (95 % interval)"] = [f"{r.ours:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for r in table.itertuples()]
    rows["paper (Llama-3-8B)"] = [f"{v:+.1f}" if pd.notna(v) else "" for v in table["paper"]]
    rows["p (Holm)"] = table["p"].map(p_text)
    rows["significant"] = table["shown"]
    columns = [
        "task",
        "step",
        "languages",
        "ours (95 % interval)",
        "p (Holm)",
        "significant",
        "n",
    ]
    beside = ["paper (Llama-3-8B)"] if table["paper"].notna().any() else []
    return markdown(rows[columns + beside])


def losses(table: pd.DataFrame) -> str:
    """The gains that are losses: those whose 95 % interval lies below zero, in words."""
    lost = table[table["high"] < 0]
    found = [
        f"{r.task} {r.step}, {r.languages}: {r.ours:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for r in lost.itertuples()
    ]
    return "; ".join(found) if found else "none"
