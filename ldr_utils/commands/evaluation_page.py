"""What an evaluation shows: a short table for the terminal, and a page with all of it. Neither has text of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure

from ldr_utils.commands.released import Released
from ldr_utils.data.files import Source, source_table
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.report import figures, paper, tables
from ldr_utils.report.claims import CAUTION
from ldr_utils.report.gains import summary_markdown, titled
from ldr_utils.scores.answers import LANGUAGE_METRICS
from ldr_utils.study.arms import MAIN
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import EvaluateParams
from ldr_utils.study.paths import Run
from ldr_utils.study.provenance import git_state, machine, package_versions
from ldr_utils.study.text import markdown, one_line

METRICS = {
    "mgsm": ["accuracy", "lc_accuracy", "accuracy_phrase", *LANGUAGE_METRICS, "no_answer"],
    "x_alpacaeval": ["win_rate", "lc_win_rate", "null_win_rate", *LANGUAGE_METRICS, "flip_rate"],
}
ICR_CAUTION = (
    "Figures of others, beside which ours may stand and with which they are not to be mixed: their judge is another"
    " one. Read by eye from the picture of table 2 of Implicit Cross-Lingual Rewarding (arXiv 2503.04647)."
)


def terminal(params: EvaluateParams, results: pd.DataFrame, compared: pd.DataFrame) -> str:
    """Rates of every model in percent, by language and averaged, then what differs from the baseline."""
    table = 100 * tables.means(results.assign(arm=MAIN), params.all_languages)
    return "\n\n".join([markdown(table.reset_index()), *_comparisons(compared)])


def page(
    params: EvaluateParams,
    run: Run,
    models: Sequence[Released],
    results: pd.DataFrame,
    compared: pd.DataFrame,
    sources: Sequence[Source],
) -> None:
    """Write ``README.md`` and its ``figures/``."""
    shown = results.assign(arm=MAIN)  # whose models go by their names
    named = [{"name": m.name, "model": f"`{_cell(m.source)}`", "weights": f"`{m.weights}`"} for m in models]
    parts = [f"# {', '.join(m.name for m in models)}, evaluated", CAUTION[params.source], markdown(pd.DataFrame(named))]
    parts.append(_conditions(params))
    for name, test in TEST_SETS.items():
        parts += [f"## {test.title}", _bars(params, run, shown, name)]
        parts.append(markdown(tables.grid(shown, name, METRICS[name], params.all_languages).reset_index()))
        if params.source == "published":
            versus = tables.versus(shown, name, test.paper_metric, params.all_languages)
            note = test.published_in(params.mgsm_set)
            parts += [f"Beside the paper, where a model has the name of one of its own: {note}"]
            parts.append(markdown(versus.reset_index()))
    if len(compared):
        parts += ["## Differences", _gains(run, compared), *_comparisons(compared)]
        parts += ["## Head to head", _duels(run, results)]
    if params.source == "published":
        parts += ["## Published by others", ICR_CAUTION, markdown(paper.rivals(), 2)]
    parts += ["## Where it comes from", markdown(source_table(list(sources))), _provenance()]
    write_text(run.root / "README.md", "\n\n".join(parts) + "\n")


def _cell(text: str) -> str:
    """A path or name for a table's cell, as code."""
    return one_line(text).replace("|", "\\|").replace("`", "'")


def _comparisons(compared: pd.DataFrame) -> list[str]:
    return [summary_markdown(titled(compared))] if len(compared) else []


def _conditions(params: EvaluateParams) -> str:
    return (
        f"Judge: {tables.judged_by(params)}. Data: {params.source}, seed {params.seed}; languages that"
        f" the study behind the parameters trains on: {', '.join(params.languages)}; unseen:"
        f" {', '.join(params.unseen) or 'none'}."
        " All parameters: [evaluation.yaml](evaluation.yaml). Every number: [results.csv](results.csv),"
        " [comparisons.csv](comparisons.csv). Answers and what made them: `models/NAME/answers/`."
    )


def _bars(params: EvaluateParams, run: Run, results: pd.DataFrame, task: str) -> str:
    test = TEST_SETS[task]
    rows = results[(results["task"] == task) & (results["lang"] != "avg")]
    figures.use_style()
    if task == "mgsm":
        return _picture(run, "mgsm.png", figures.joint(rows, test.title), f"{test.title}, right answers")
    what = test.paper_metric.replace("_", " ")
    rows = rows[rows["metric"] == test.paper_metric]
    return _picture(run, f"{task}.png", figures.bars(rows, "value", "model", test.title, what), f"{test.title}, {what}")


def _gains(run: Run, compared: pd.DataFrame) -> str:
    drawn = figures.gain_intervals(titled(compared), "Differences from the baseline")
    return _picture(run, "differences.png", drawn, "Differences from the baseline, 95 % intervals")


def _duels(run: Run, results: pd.DataFrame) -> str:
    rows = results[results["metric"].str.startswith("h2h")]
    return _picture(run, "head_to_head.png", figures.head_to_head(rows, "Head to head on X-AlpacaEval"), "Head to head")


def _picture(run: Run, name: str, drawn: Figure, caption: str) -> str:
    path = run.root / "figures" / name
    figures.save_figure(drawn, path)
    pyplot.close(drawn)
    return f"![{caption}]({Path('figures') / name})"


def _provenance() -> str:
    code, here = git_state(), machine()
    packages = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    commit = f"{code['commit']}{' with changes' if code['dirty'] else ''}" if code["commit"] else "unknown"
    where = f"{here['cpu']}, GPU: {here['gpu'] or 'none'}, Python {here['python']}"
    return f"Commit of the code: {commit}. {packages}. {where}."
