"""Several seeds of one study in one table, and the rendered report that ships."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.judges.verdicts import UNUSABLE
from ldr_utils.report import claims, figures, gains, tables
from ldr_utils.scores.rows import read_rows, rows, split_of
from ldr_utils.scores.stats import mean_interval
from ldr_utils.study import text
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.manifests import damaged, manifests
from ldr_utils.study.params import ReportParams
from ldr_utils.study.paths import ROOT, Run

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
    "gains.png": "Gains in points, all seeds together, beside the paper's; bars are 95 % intervals",
    "mgsm_accuracy.png": "MGSM accuracy over the iterations, all seeds together; bars are 95 % intervals",
    "x_alpacaeval_win_rate.png": "X-AlpacaEval win rate against the reference answers, all seeds together",
    "arms.png": "M0, and M1 of every arm, all seeds together; bars are 95 % intervals, the dashed line is the method",
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
    params = [gains.read_params(run) for run in runs]
    for run, own in zip(runs, params, strict=True):
        if not run.results.exists():
            raise InputError(f"{run.root}: has no results.csv; finish it with ldr run")
        for manifest in manifests(run.root):
            if bad := damaged(manifest):
                raise InputError(f"{bad[0]}: missing or changed since it was written; have ldr run rebuild it")
        if own.model_copy(update={"seed": 0, "run_dir": ""}) != params[0].model_copy(update={"seed": 0, "run_dir": ""}):
            raise InputError(f"{run.root}: is not a run of the same study as {runs[0].root}; compare runs of one study")
    if len({own.seed for own in params}) != len(params):
        raise InputError("compare: two runs have the same seed; give runs with different seeds")
    return runs, params


def levels(runs: Sequence[Run], params: ReportParams, task: str) -> pd.DataFrame:
    """Scores of every model of the main arm by language, all seeds together, as rows of results.csv."""
    table = []
    for t in range(params.iterations + 1):
        intervals = mean_interval(gains.problem_scores(runs, task, "lidr", t))
        for lang in (lang for lang in params.all_languages if lang in intervals):
            metric = gains.PAPER_METRIC[task]
            table += rows(params, "lidr", f"M{t}", task, metric, {lang: intervals[lang]}, split_of(lang, params))
    return pd.DataFrame(table)


def compare(folders: Sequence[Path], out: Path | None) -> str:
    """Put several seeds of a study in one table; with ``out``, write the report that ships.

    Returns
    -------
    str
        The claims and the gains as markdown.
    """
    runs, params = read_runs(folders)
    moved = gains.gains(runs, params[0])
    found = claims.claims(runs, params[0])
    if out is not None:
        _publish(runs, params, found, moved, out)
    return f"{claims.claims_markdown(found, params[0].study, len(runs))}\n\n{gains.summary_markdown(moved)}"


def _publish(
    runs: Sequence[Run], params: Sequence[ReportParams], found: pd.DataFrame, moved: pd.DataFrame, out: Path
) -> None:
    first = runs[0]
    results = pd.concat([read_rows(run.results) for run in runs], ignore_index=True)
    write_text(out / "results.csv", results.to_csv(index=False, float_format="%.6f"))
    for path in sorted(first.figures.glob("*.png")):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "figures" / path.name).write_bytes(path.read_bytes())
    figures.use_style()
    for task, title in {"mgsm": "MGSM accuracy", "x_alpacaeval": "X-AlpacaEval win rate"}.items():
        figure = figures.model_lines(
            levels(runs, params[0], task), f"{title}, {len(runs)} seeds", title.split(" ", 1)[1]
        )
        figures.save_figure(figure, out / "figures" / f"{task}_{gains.PAPER_METRIC[task]}.png")
    figures.save_figure(
        figures.gain_intervals(gains.titled(moved), f"Gains, {len(runs)} seeds"), out / "figures" / "gains.png"
    )
    ablation = gains.ablation(runs, params[0])
    figure = figures.arm_levels(ablation, f"M1 of every arm, {len(runs)} seeds")
    figures.save_figure(figure, out / "figures" / "arms.png")
    for notebook in sorted((first.root / "notebooks").rglob("*.ipynb")):
        write_text(out / "notebooks" / notebook.relative_to(first.root / "notebooks"), _portable(notebook))
    texts = {
        "claims": claims.claims_markdown(found, params[0].study, len(runs)),
        "premise": claims.premise_markdown(read_rows(first.results), params[0]),
        "seeds": text.markdown(claims.seed_table(runs, params), 2) if len(runs) > 1 else "One seed.",
        "significance": claims.significance_markdown(claims.significance(runs, params[0])),
        "arms": gains.ablation_markdown(ablation),
    }
    write_text(out / "README.md", _readme(results, params, gains.study(first).model_dump(), moved, texts, out))


def _portable(notebook: Path) -> str:
    """An executed notebook without the places where it ran: papermill and warnings note them, and they mean nothing."""
    text = notebook.read_text(encoding="utf-8")
    source = str(json.loads(text)["metadata"]["papermill"]["input_path"])  # .../notebooks/NAME.ipynb
    for place in (source.removesuffix(f"notebooks/{notebook.name}"), f"{sys.prefix}/", f"{ROOT}/"):
        text = text.replace(place, "") if place else text
    return text


def _readme(
    results: pd.DataFrame,
    params: Sequence[ReportParams],
    values: Mapping[str, Any],
    moved: pd.DataFrame,
    texts: Mapping[str, str],
    out: Path,
) -> str:
    source = values.get("source", "micro")
    seeds = ", ".join(str(own.seed) for own in params)
    first = results[results["seed"] == params[0].seed]
    different = tables.deviations(values)
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

## The claims of the abstract

The two blocks are about different models on different data, and neither confirms the other's size.

{texts["claims"]}

{texts["premise"]}

Seed by seed, in points:

{texts["seeds"]}

## Gains

Paired differences on the same problems, in points; 95 % intervals are over problems within each seed; p-values are
permutation tests, Holm-corrected over the whole table, and *significant* says which way a difference with p below 0.05
goes (`no`: chance may have made it). *SFT* is the paper's Multilingual Alignment baseline. The paper's unseen languages
are its own (ja, sw, th, zh, bn).

{gains.summary_markdown(moved)}

**What went down** (points, interval below zero before correction): {gains.losses(moved)}.

## Significance by language

Differences in points; p-values Holm-corrected across the languages of one row. `up` and `down` are significant at 0.05,
`n.s.` is not.

{texts["significance"]}

## Arms

M1 of every arm, in points: MGSM accuracy and X-AlpacaEval win rate, all seeds together; in brackets what it has over
M1 of the method on the same problems, with the 95 % interval of the difference.

{texts["arms"]}

## Accuracy and win rate by language

Means over the seeds.

{_level_table(results)}

## X-AlpacaEval: what the win rates must be read with

Win rates in percent, plain and length-controlled; the floor is the win rate of one constant answer to everything; flips
are verdicts that change with the order of the two answers (percent), lengths are in characters, ours minus the
reference's. First seed, averages over languages.

{_judge_averages(first)}

## Beside the paper (first seed)

### Head to head on X-AlpacaEval, win / tie / lose

{different["x_alpacaeval"]}

{_text(tables.duels_versus(first, params[0].all_languages))}

### Why it works: the premise

Judge's score (0-10) of what the model writes directly and of what it translates, and how often the judge agrees with
the pairs (reward accuracy in percent; ties left out).

{different["premise"]}

{_text(tables.premise(first, params[0].languages))}
{_extras(first, params[0].all_languages)}
## Figures

{figures}

## Rendered notebooks (first seed)

{notebooks}
"""


def _level_table(results: pd.DataFrame) -> str:
    chosen = results[results["metric"].isin(["accuracy", "off_target", "win_rate"]) & results["task"].isin(gains.TASKS)]
    chosen = chosen.assign(lang=chosen["lang"].where(chosen["lang"] != "avg", "avg " + chosen["split"]))
    table = chosen.pivot_table(index=["task", "metric", "arm", "model"], columns="lang", values="value", sort=False)
    return text.markdown(table.reset_index(), digits=3)


def _text(table: pd.DataFrame) -> str:
    return text.markdown(table.reset_index())


def _judge_averages(results: pd.DataFrame) -> str:
    table = tables.judge_table(results, []).dropna(axis="columns", how="all")  # counts have no average
    if table.empty:
        return "These runs have no win rates."
    own = results[results["task"] == "x_alpacaeval"]
    counts = {metric: own.loc[own["metric"] == metric, "value"].sum() for metric in UNUSABLE}
    missing = ", ".join(f"{count:.0f} {metric}" for metric, count in counts.items())
    return f"{text.markdown(table.reset_index())}\n\nAnswers without a verdict, all models together: {missing}."


def _extras(results: pd.DataFrame, languages: Sequence[str]) -> str:
    """Sections for which not every run has rows."""
    sections = []
    for task, (title, metrics) in tables.EXTRAS.items():
        table = tables.grid(results, task, metrics, languages)
        if len(table):
            sections.append(f"\n### {title}\n\n{_text(table)}\n")
    return "".join(sections)
