"""What the study found, beside what the paper reported; for one run, or for several seeds taken together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ldr_utils.errors import InputError
from ldr_utils.evaluation import wide
from ldr_utils.paper import published, published_duels
from ldr_utils.params import Common, ReportParams
from ldr_utils.paths import Run
from ldr_utils.results import read_rows
from ldr_utils.stats import combine_seeds, holm, paired_difference

TASKS = {"mgsm": ("scores.csv", "accuracy"), "x_alpacaeval": ("verdicts_reference.csv", "preference")}
PAPER_METRIC = {"mgsm": "accuracy", "x_alpacaeval": "win_rate"}
PAPER_UNSEEN = {"mgsm": ["ja", "sw", "th", "zh", "bn"], "x_alpacaeval": []}
PAPER_TRAINED = ["es", "ru", "de", "fr"]

Model = tuple[str, int]  # (arm, t)


def collect(run: Run, params: ReportParams) -> pd.DataFrame:
    """All rows of a run: pairs, X-AlpacaEval and MGSM of every model and arm, in that order."""
    files = [run.stage(t, "pairs") / "results.csv" for t in range(params.iterations)]
    for arm, t in models(params):
        files += [run.stage(t, task, arm) / "results.csv" for task in ("x_alpacaeval", "mgsm")]
    return pd.concat([read_rows(path) for path in files], ignore_index=True)


def models(params: ReportParams) -> list[Model]:
    """(arm, t) of every evaluated model: the main arm's M_0..M_T, then M_1 of each baseline."""
    baselines = [(arm, 1) for arm in params.arms if arm != "lidr"]
    return [("lidr", t) for t in range(params.iterations + 1)] + baselines


def read_params(run: Run) -> ReportParams:
    """The part of a run's resolved parameters that the report needs.

    Raises
    ------
    InputError
        When the folder is not a run folder.
    """
    if not run.params.exists():
        raise InputError(f"{run.root}: not a run folder (no params.yaml); give a folder that ldr run made")
    values = yaml.safe_load(run.params.read_text(encoding="utf-8"))
    return ReportParams(run_dir=str(run.root), **{k: v for k, v in values.items() if k in ReportParams.model_fields})


def problem_scores(runs: Sequence[Run], task: str, arm: str, t: int) -> pd.DataFrame:
    """Scores by problem and language of M_t, the runs' problems kept apart (see ``stats.combine_seeds``)."""
    file, column = TASKS[task]
    tables = [wide(pd.read_csv(run.stage(t, task, arm) / file), column) for run in runs]
    return tables[0] if len(tables) == 1 else combine_seeds(tables)


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
    """The comparisons that the paper makes: name, the model after, the model before."""
    last = params.iterations
    found = [(f"M{t + 1} - M{t}", ("lidr", t + 1), ("lidr", t)) for t in range(last)]
    if last > 1:
        found.append((f"M{last} - M0", ("lidr", last), ("lidr", 0)))
    return found + [(f"M1 - {arm.upper()}", ("lidr", 1), (arm, 1)) for arm in params.arms if arm != "lidr"]


def gains(runs: Sequence[Run], params: ReportParams) -> pd.DataFrame:
    """Paired differences between models on the same problems, ours and the paper's.

    Returns
    -------
    DataFrame
        ``task``, ``step`` (e.g. M1 - M0), ``languages`` (a group; in brackets those that the test set has, where it has
        not all), ``ours``, ``low``, ``high`` (95 % bounds), ``p`` (permutation, Holm-corrected over the table), ``n``
        (problems), ``paper`` (NaN where it reports nothing). In points (0-100).
    """
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        scores = {model: problem_scores(runs, task, *model) for model in models(params)}
        for step, after, before in steps(params):
            for name, wanted in groups(params).items():
                languages = [lang for lang in wanted if lang in scores[after] and lang in scores[before]]
                if not languages:  # real test sets are not made in every language
                    continue
                d = paired_difference(scores[after][languages], scores[before][languages], seed=params.seed)["avg"]
                rows.append(
                    {
                        "task": task,
                        "step": step,
                        "languages": name if languages == wanted else f"{name} ({', '.join(languages)} only)",
                        "ours": 100 * d.value,
                        "low": 100 * d.low,
                        "high": 100 * d.high,
                        "p": d.p,
                        "n": d.n,
                        "paper": paper_gain(task, name, *step.split(" - ")),
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(p=list(holm({str(k): p for k, p in table["p"].items()}).values()))


def headline(gains: pd.DataFrame) -> str:
    """What the last model gained over M0 in the non-dominant languages, on MGSM where it has any of them."""
    own = gains[gains["languages"].str.startswith("non-dominant") & gains["step"].str.endswith(" - M0")]
    if own.empty:
        return "no test set has scores in a non-dominant language"
    last = own[own["task"] == own["task"].iloc[0]].iloc[-1]
    name = {"mgsm": "MGSM", "x_alpacaeval": "X-AlpacaEval"}[last["task"]]
    return f"{name} {last['step']} in the non-dominant languages: {last['ours']:+.1f} points"


def paper_gain(task: str, group: str, after: str, before: str) -> float:
    """The paper's difference for the same group of languages (its own unseen ones), in points, or NaN."""
    languages = {
        "non-dominant": PAPER_TRAINED,
        "dominant": ["en"],
        "trained": ["en", *PAPER_TRAINED],
        "unseen": PAPER_UNSEEN[task],
    }[group]
    values = published(task, PAPER_METRIC[task])
    if not languages or not {after, before} <= set(values.index):
        return float("nan")
    return 100 * float((values.loc[after, languages] - values.loc[before, languages]).to_numpy().mean())


def side_by_side(results: pd.DataFrame, task: str, metric: str, languages: Sequence[str]) -> pd.DataFrame:
    """Paper and ours for every model, two blocks of columns that cannot be mistaken for one another.

    Rows are M0, the SFT baseline, M1, ...; the paper's columns are its own languages.
    """
    ours = results[(results["task"] == task) & (results["metric"] == metric)].copy()
    ours["model"] = ours["model"].where(ours["arm"] == "lidr", ours["arm"].str.upper())
    ours["lang"] = ours["lang"].where(ours["lang"] != "avg", "avg " + ours["split"])
    table = ours.pivot_table(index="model", columns="lang", values="value")
    table = table[[c for c in [*languages, "avg train", "avg unseen"] if c in table]]
    paper = published(task, metric)
    order = [m for m in ("M0", "SFT", "M1", "M2", "M3", "M4") if m in {*table.index, *paper.index}]
    blocks = {"PAPER (Llama-3-8B)": paper.reindex(order), "OURS": table.reindex(order)}
    return pd.concat(blocks, axis=1)


def duel_table(results: pd.DataFrame) -> pd.DataFrame:
    """Win / tie / lose in percent by pair of models and language, the paper's beside ours."""
    blocks = {}
    ours = results[(results["arm"] == "lidr") & results["metric"].str.startswith("h2h") & (results["lang"] != "avg")]
    for name, table in (("PAPER (Llama-3-8B)", published_duels()), ("OURS", ours)):
        shares = table.pivot_table(index=["model", "lang"], columns="metric", values="value", sort=False)
        text = (100 * shares[["h2h_win", "h2h_tie", "h2h_lose"]]).round(1).astype(str).agg(" / ".join, axis=1)
        blocks[name] = text.unstack("lang", sort=False)
    return pd.concat(blocks, axis=1).fillna("")


def premise_tables(results: pd.DataFrame) -> pd.DataFrame:
    """Judge scores and reward accuracy by model and language, the paper's (for its M0) beside ours."""
    metrics = ["self_generation", "self_translation", "accuracy"]
    ours = results[results["task"] == "reward"].pivot_table(
        index=["metric", "model"], columns="lang", values="value", sort=False
    )
    paper = pd.concat({metric: published("reward", metric) for metric in metrics}, names=["metric", "model"])
    return pd.concat({"PAPER (Llama-3-8B)": paper, "OURS": ours}, axis=1).reindex(metrics, level="metric")


def markdown(table: pd.DataFrame, digits: int = 1) -> str:
    """A table as GitHub markdown; numbers rounded, missing ones left empty."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.{digits}f}"
        return str(value)

    head = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in table.itertuples(index=False, name=None)]
    return "\n".join(lines)


def summary_markdown(table: pd.DataFrame) -> str:
    """The gains as markdown: what moved, by how much, and what the paper saw."""
    shown = table.copy()
    shown["ours (95 % interval)"] = [f"{r.ours:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for r in table.itertuples()]
    shown["paper (Llama-3-8B)"] = [f"{v:+.1f}" if pd.notna(v) else "" for v in table["paper"]]
    shown["p (Holm)"] = [f"{p:.3f}" for p in table["p"]]
    return markdown(shown[["task", "step", "languages", "ours (95 % interval)", "p (Holm)", "n", "paper (Llama-3-8B)"]])


def losses(table: pd.DataFrame) -> str:
    """The gains that are losses: those whose 95 % interval lies below zero, in words."""
    lost = table[table["high"] < 0]
    found = [
        f"{r.task} {r.step}, {r.languages}: {r.ours:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for r in lost.itertuples()
    ]
    return "; ".join(found) if found else "none"


def figure_paths(run: Run, *patterns: str) -> list[Path]:
    """Figures that earlier notebooks saved, in the order of the patterns."""
    return [path for pattern in patterns for path in sorted(run.figures.glob(pattern))]
