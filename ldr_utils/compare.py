"""Several seeds of one study in one table, and the rendered report that ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from ldr_utils import plots, report
from ldr_utils.errors import InputError
from ldr_utils.params import ReportParams
from ldr_utils.paths import ROOT, Run
from ldr_utils.records import write_text
from ldr_utils.results import read_rows, rows, split_of
from ldr_utils.stats import mean_interval

CAUTION = {  # by the source of the data
    "micro": "The micro world is a set of templates and a model of two million parameters. These figures show that the"
    " mechanism and the software work; they are **not** comparable in size with those of large models, and no claim"
    " about large models follows from them. Columns named *paper* are the authors' numbers for Llama-3-8B-Instruct"
    " (arXiv 2410.08964), on other data.",
    "published": "Columns named *paper* are the authors' numbers for Llama-3-8B-Instruct (arXiv 2410.08964). Sizes,"
    " settings and judge differ from theirs where the params file says so.",
}
SEEDS = {
    "micro": "each draws its own prompts and its own test problems; none was used while settings were chosen\n"
    "(`reports/LOG.md`)",
    "published": "all read the same prompts and the same test problems",
}
FIGURES = {
    "mgsm_accuracy.png": "MGSM accuracy over the iterations, all seeds together; bars are 95 % intervals",
    "x_alpacaeval_win_rate.png": "X-AlpacaEval win rate against the reference answers, all seeds together",
    "head_to_head.png": "Head to head on X-AlpacaEval (first seed)",
    "premise_M0.png": "Why it works: M0 translates better than it answers (first seed)",
    "premise_M1.png": "The same for M1: the gap that drives the method is closing (first seed)",
    "training_M1.png": "Training M0 into M1 (first seed)",
    "training_M2.png": "Training M1 into M2 (first seed)",
    "attrition_M0.png": "What was lost between answers and pairs (first seed)",
}


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[ReportParams]]:
    """Open finished runs of one study.

    Raises
    ------
    InputError
        When a folder is not a finished run, or the runs differ in more than their seed.
    """
    runs = [Run(folder.resolve()) for folder in folders]
    params = [report.read_params(run) for run in runs]
    for run, own in zip(runs, params, strict=True):
        if not run.results.exists():
            raise InputError(f"{run.root}: has no results.csv; finish it with ldr run")
        if own.model_copy(update={"seed": 0, "run_dir": ""}) != params[0].model_copy(update={"seed": 0, "run_dir": ""}):
            raise InputError(f"{run.root}: is not a run of the same study as {runs[0].root}; compare runs of one study")
    if len({own.seed for own in params}) != len(params):
        raise InputError("compare: two runs have the same seed; give runs with different seeds")
    return runs, params


def levels(runs: Sequence[Run], params: ReportParams, task: str) -> pd.DataFrame:
    """Scores of every model of the main arm by language, all seeds together, as rows of results.csv."""
    table = []
    for t in range(params.iterations + 1):
        intervals = mean_interval(report.problem_scores(runs, task, "lidr", t), seed=params.seed)
        for lang in (lang for lang in params.all_languages if lang in intervals):
            metric = report.PAPER_METRIC[task]
            table += rows(params, "lidr", f"M{t}", task, metric, {lang: intervals[lang]}, split_of(lang, params))
    return pd.DataFrame(table)


def compare(folders: Sequence[Path], out: Path | None) -> str:
    """Put several seeds of a study in one table; with ``out``, write the report that ships.

    Returns
    -------
    str
        The gains as markdown.
    """
    runs, params = read_runs(folders)
    gains = report.gains(runs, params[0])
    if out is not None:
        _publish(runs, params, gains, out)
    return report.summary_markdown(gains)


def _publish(runs: Sequence[Run], params: Sequence[ReportParams], gains: pd.DataFrame, out: Path) -> None:
    first = runs[0]
    results = pd.concat([read_rows(run.results) for run in runs], ignore_index=True)
    write_text(out / "results.csv", results.to_csv(index=False, float_format="%.6f"))
    for path in sorted(first.figures.glob("*.png")):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "figures" / path.name).write_bytes(path.read_bytes())
    plots.use_style()
    for task, title in {"mgsm": "MGSM accuracy", "x_alpacaeval": "X-AlpacaEval win rate"}.items():
        figure = plots.model_lines(levels(runs, params[0], task), f"{title}, {len(runs)} seeds", title.split(" ", 1)[1])
        plots.save_figure(figure, out / "figures" / f"{task}_{report.PAPER_METRIC[task]}.png")
    for notebook in sorted((first.root / "notebooks").rglob("*.ipynb")):
        # papermill notes where files lay; a reader elsewhere has no use for it
        text = notebook.read_text(encoding="utf-8").replace(f"{ROOT}/", "")
        write_text(out / "notebooks" / notebook.relative_to(first.root / "notebooks"), text)
    write_text(out / "README.md", _readme(results, params, _source(first), gains, out))


def _source(run: Run) -> str:
    """Where the run's data came from, as its resolved parameters say."""
    return str(yaml.safe_load(run.params.read_text(encoding="utf-8"))["source"])


def _readme(results: pd.DataFrame, params: Sequence[ReportParams], source: str, gains: pd.DataFrame, out: Path) -> str:
    seeds = ", ".join(str(own.seed) for own in params)
    figures = "\n\n".join(
        f"![{caption}](figures/{name})\n*{caption}.*"
        for name, caption in FIGURES.items()
        if (out / "figures" / name).exists()
    )
    notebooks = "\n".join(
        f"- [{path.relative_to(out / 'notebooks').with_suffix('')}]({path.relative_to(out)})"
        for path in sorted((out / "notebooks").rglob("*.ipynb"))
    )
    return f"""# Study `{params[0].study}`: what came out

{CAUTION[source]}

Seeds {seeds}: {SEEDS[source]}. Every number stands in [results.csv](results.csv).

## Gains

Paired differences on the same problems, in points; 95 % intervals resample problems within each seed; p-values are
permutation tests, Holm-corrected over the whole table. *SFT* is the paper's Multilingual Alignment baseline. The
paper's unseen languages are its own (ja, sw, th, zh, bn).

{report.summary_markdown(gains)}

**What went down** (points, interval below zero before correction): {report.losses(gains)}.

## Accuracy and win rate by language

Means over the seeds.

{_level_table(results)}

## Why it works: the premise

Judge's score (0-10) of what the model writes directly and of what it translates, and how often the judge agrees with
the pairs (reward accuracy; ties left out). First seed, 95 % intervals.

{_premise_table(results[results["seed"] == params[0].seed])}

## Figures

{figures}

## Rendered notebooks (first seed)

{notebooks}
"""


def _level_table(results: pd.DataFrame) -> str:
    chosen = results[
        results["metric"].isin(["accuracy", "off_target", "win_rate"]) & results["task"].isin(report.TASKS)
    ]
    chosen = chosen.assign(lang=chosen["lang"].where(chosen["lang"] != "avg", "avg " + chosen["split"]))
    table = chosen.pivot_table(index=["task", "metric", "arm", "model"], columns="lang", values="value", sort=False)
    return report.markdown(table.reset_index(), digits=3)


def _premise_table(results: pd.DataFrame) -> str:
    rewards = results[results["task"] == "reward"]
    text = [f"{r.value:.2f} ({r.low:.2f}-{r.high:.2f})" for r in rewards.itertuples()]
    table = rewards.assign(text=text).pivot_table(
        index=["model", "metric"], columns="lang", values="text", aggfunc="first", sort=False
    )
    return report.markdown(table.reset_index())
