"""The study's figures, in one style that survives print and colour-blind eyes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.text import Text

from ldr_utils.report import fonts
from ldr_utils.study.arms import MAIN
from ldr_utils.study.progress import say

MARKERS = "osD^vPX*<>hd"
OUTCOMES = {"h2h_win": "#0072B2", "h2h_tie": "#BBBBBB", "h2h_lose": "#D55E00"}
HATCHES = {"h2h_win": "", "h2h_tie": "", "h2h_lose": "//"}
PATTERNS = ("", "///", "...", "xxx", "|||", "---")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#000000", "#8C6D00", "#56B4E9", "#777777")  # after Okabe & Ito
OURS, PAPER, GREY = "#0072B2", "#D55E00", "#BBBBBB"


def use_style() -> None:
    """Set the style for all figures of a notebook; their text may be in any script (see `report.fonts`)."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font=fonts.families())
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # `save_figure` says it, in one line
    plt.rcParams.update({"figure.dpi": 110, "savefig.dpi": 150, "axes.titlesize": 12, "axes.titleweight": "bold"})


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, cropped to its content; letters that no font here has are boxes in it, and are said to be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    if lacking := fonts.missing("".join(text.get_text() for text in figure.findobj(Text))):
        _say_what_is_missing(", ".join(lacking))


@cache  # once is enough
def _say_what_is_missing(scripts: str) -> None:
    say(f"no font for figures has the letters of {scripts}: {fonts.REMEDY}")


def blank(title: str) -> Figure:
    """What a figure is where its table is empty or all missing: its work is paid for, and must not be lost to this."""
    figure, axes = plt.subplots(figsize=(7, 1.2))
    axes.set(title=title, xticks=[], yticks=[])
    axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", color="#555555", transform=axes.transAxes)
    return figure


def style_of(languages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker by language; the dash tells trained (solid) from unseen when drawn by ``model_lines``."""
    return {
        lang: {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        for k, lang in enumerate(languages)
    }


def model_lines(results: pd.DataFrame, title: str, ylabel: str) -> Figure:
    """One line a language over M0, M1, ... with 95 % bounds, named at its end; unseen languages are dashed.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv for one arm, task and metric.
    """
    results = results[results["lang"] != "avg"]
    if results["value"].isna().all():
        return blank(title)
    languages = list(dict.fromkeys(results["lang"]))
    styles, models = style_of(languages), sorted(results["model"].unique())
    figure, axes = plt.subplots(figsize=(7, 4.4))
    ends: dict[str, float] = {}
    for k, lang in enumerate(languages):
        own = results[results["lang"] == lang].set_index("model").loc[models]
        x = [m + (k - (len(languages) - 1) / 2) * 0.03 for m in range(len(models))]
        bounds = [own["value"] - own["low"], own["high"] - own["value"]]
        unseen = own["split"].iloc[0] == "unseen"
        dash = "--" if unseen else "-"
        axes.errorbar(x, own["value"], yerr=bounds, linestyle=dash, capsize=2, elinewidth=0.8, **styles[lang])
        ends[f"{lang} (unseen)" if unseen else lang] = own["value"].iloc[-1]
    axes.set(xticks=range(len(models)), xticklabels=models, title=title, ylabel=ylabel, ylim=(0, 1.02))
    axes.set_xlim(-0.15, len(models) - 0.85)
    for k, (name, y) in enumerate(zip(ends, apart([*ends.values()], 0.06), strict=True)):
        style = styles[languages[k]]
        point = (len(models) - 1 + (k - (len(languages) - 1) / 2) * 0.03, ends[name])
        place = (len(models) - 0.72, y)
        leader = {"arrowstyle": "-", "color": style["color"], "linewidth": 0.8}
        axes.annotate("", point, place, annotation_clip=False, arrowprops=leader)
        axes.plot(*place, **style, clip_on=False)
        axes.text(place[0] + 0.05, y, name, va="center")
    return figure


def apart(values: Sequence[float], gap: float) -> list[float]:
    """``values`` moved as little as needed for labels at least ``gap`` apart, in the order given."""
    order = sorted(range(len(values)), key=values.__getitem__)
    groups: list[tuple[float, int]] = []  # centre and size of labels that touch
    for k in order:
        centre, size = values[k], 1
        while groups and groups[-1][0] + gap * (groups[-1][1] + size) / 2 > centre:
            before, n = groups.pop()
            centre, size = (before * n + centre * size) / (n + size), n + size
        groups.append((centre, size))
    places = [centre + gap * (i - (size - 1) / 2) for centre, size in groups for i in range(size)]
    return [place for _, place in sorted(zip(order, places, strict=True))]


def gain_intervals(gains: pd.DataFrame, title: str) -> Figure:
    """Every gain with its 95 % interval, one panel a test set; the paper's, which has no interval, as a diamond.

    Parameters
    ----------
    gains : DataFrame
        As ``report.gains`` makes it.
    """
    if gains.empty:
        return blank(title)
    tasks = list(dict.fromkeys(gains["task"]))
    rows = int(gains.groupby("task").size().max())
    figure, panels = plt.subplots(1, len(tasks), figsize=(5.2 * len(tasks), 0.3 * rows + 1.6), squeeze=False)
    for axes, task in zip(panels[0], tasks, strict=True):
        own = gains[gains["task"] == task].reset_index(drop=True)
        bounds = [own["ours"] - own["low"], own["high"] - own["ours"]]
        axes.axvline(0, color="#555555", linewidth=1)
        axes.errorbar(own["ours"], own.index, xerr=bounds, fmt="o", color=OURS, capsize=3, label="OURS, 95 % interval")
        paper = axes.plot(own["paper"], own.index, "D", color=PAPER, fillstyle="none", label="PAPER (Llama-3-8B)")
        paper[0].set_markersize(7)
        labels = own["step"] + ", " + own["languages"]
        axes.set(title=task, xlabel="points", yticks=own.index, yticklabels=labels, ylim=(len(own) - 0.5, -0.5))
        for row in own.index[(own["step"] != own["step"].shift()) & (own.index > 0)]:
            axes.axhline(row - 0.5, color=GREY, linewidth=0.8)
        axes.grid(axis="y", visible=False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.suptitle(title, fontweight="bold", fontsize=12)
    figure.tight_layout()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=2, frameon=False)
    return figure


def head_to_head(results: pd.DataFrame, title: str) -> Figure:
    """Win / tie / lose shares by language, one panel a pair of models."""
    results = results[results["lang"] != "avg"]
    if results.empty:
        return blank(title)
    pairs, languages = list(dict.fromkeys(results["model"])), list(dict.fromkeys(results["lang"]))
    figure, panels = plt.subplots(
        1, len(pairs), figsize=(4 * len(pairs), 0.45 * len(languages) + 1.2), sharey=True, squeeze=False
    )
    for axes, pair in zip(panels[0], pairs, strict=True):
        left = pd.Series(0.0, index=languages)
        for metric, colour in OUTCOMES.items():
            chosen = results[(results["model"] == pair) & (results["metric"] == metric)]
            share = chosen.set_index("lang")["value"].reindex(languages)
            name = metric.removeprefix("h2h_")
            drawn = {"color": colour, "hatch": HATCHES[metric], "edgecolor": "white", "linewidth": 0.5}
            bars = axes.barh(languages, share, left=left, label=name, **drawn)
            labels = [f"{v:.0%}" if v >= 0.08 else "" for v in share]
            ink = "black" if metric == "h2h_tie" else "white"
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1}  # a figure on hatches cannot be read
            axes.bar_label(bars, labels, label_type="center", fontsize=9, color=ink, bbox=box)
            left += share
        axes.set(title=pair.replace("-vs-", " against "), xlim=(0, 1), xticks=[])
        axes.grid(visible=False)
    panels[0][0].invert_yaxis()  # shared: once turns all panels
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle(title, fontweight="bold", fontsize=12)
    figure.tight_layout()
    return figure


def training_curves(steps: pd.DataFrame, title: str) -> Figure:
    """NLL and DPO terms, reward margin and reward accuracy over the steps; NLL alone where there is no DPO term."""
    panels = {
        "dpo": "DPO term (nats)",
        "nll": "NLL term (nats a token)",
        "margin": "reward margin",
        "accuracy": "reward accuracy",
    }
    panels = {name: label for name, label in panels.items() if steps[name].any()}
    if not panels:
        return blank(title)
    figure, grid = plt.subplots(1, len(panels), figsize=(3.5 * len(panels), 3), squeeze=False)
    window = max(1, len(steps) // 10)
    for axes, (name, label) in zip(grid[0], panels.items(), strict=True):
        axes.plot(steps["step"], steps[name], color=GREY, linewidth=1)
        axes.plot(steps["step"], steps[name].rolling(window, min_periods=1).mean(), linewidth=2)
        axes.set(title=label, xlabel="step")
    figure.suptitle(title, fontweight="bold", fontsize=12)
    figure.tight_layout()
    return figure


def curve(table: pd.DataFrame, x: str, y: str, title: str, ylabel: str) -> Figure:
    """One line."""
    figure, axes = plt.subplots(figsize=(7, 3.4))
    axes.plot(table[x], table[y])
    axes.set(title=title, xlabel=x, ylabel=ylabel)
    return figure


def premise(scores: pd.DataFrame, title: str) -> Figure:
    """Dumbbells: the score of direct answers against that of translated ones, by language.

    Parameters
    ----------
    scores : DataFrame
        ``lang``, ``self_generation``, ``self_translation`` (0-10).
    """
    if scores[["self_generation", "self_translation"]].isna().all(axis=None):
        return blank(title)
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(scores) + 1.2))
    axes.hlines(scores["lang"], scores["self_generation"], scores["self_translation"], color="#BBBBBB", linewidth=3)
    axes.scatter(
        scores["self_generation"], scores["lang"], marker="s", color="#D55E00", s=60, label="self-generation", zorder=3
    )
    axes.scatter(
        scores["self_translation"],
        scores["lang"],
        marker="o",
        color="#0072B2",
        s=60,
        label="self-translation",
        zorder=3,
    )
    axes.set(title=title, xlabel="judge's score (0-10)", xlim=(0, 10.3))
    axes.margins(y=0.15)
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def attrition(counts: Mapping[str, int], title: str) -> Figure:
    """Waterfall from all possible pairs to the kept ones, one step a reason."""
    figure, axes = plt.subplots(figsize=(7, 0.45 * len(counts) + 1.2))
    names, values = list(counts), list(counts.values())
    remaining = values[0]
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        lost = 0 < row < len(names) - 1
        remaining -= value if lost else 0
        ink, pattern = (PAPER, "//") if lost else (OURS, "")
        bar = axes.barh(name, value, left=remaining if lost else 0, color=ink, hatch=pattern, edgecolor="white")
        axes.bar_label(bar, [f"{'-' if lost and value else ''}{value}"], padding=3, fontsize=9)
    axes.set(title=title, xlabel="pairs", xlim=(0, values[0] * 1.12))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def lengths(table: pd.DataFrame, column: str, by: str | None, title: str, xlabel: str, rows: str = "lang") -> Figure:
    """Distribution of ``column``: one row for each value of ``rows``, in it one box for each value of ``by``."""
    if table[column].isna().all():
        return blank(title)
    figure, axes = plt.subplots(figsize=(7, 0.6 * table[rows].nunique() + 1.4))
    sns.boxplot(table, x=column, y=rows, hue=by, ax=axes, fliersize=2, linewidth=1)
    axes.set(title=title, xlabel=xlabel, ylabel="")
    if by:
        _hatch(axes, axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None))
    return figure


def arm_levels(table: pd.DataFrame, title: str) -> Figure:
    """Dot and 95 % interval of every arm, one panel a test set; the dashed line is the main arm.

    Parameters
    ----------
    table : DataFrame
        ``arm``, ``label``, ``panel``, ``value``, ``low``, ``high`` (points), as ``report.ablation`` makes it.
    """
    if table.empty:
        return blank(title)
    names, labels = list(dict.fromkeys(table["panel"])), list(dict.fromkeys(table["label"]))
    size = (3.1 * len(names) + 1.2, 0.42 * len(labels) + 1.3)
    figure, panels = plt.subplots(1, len(names), figsize=size, sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        own = table[table["panel"] == name]
        for row in own.itertuples():
            ink = {"M0": "#999999", MAIN: "#0072B2"}.get(row.arm, "#D55E00")
            bounds = [[row.value - row.low], [row.high - row.value]]
            axes.errorbar(row.value, labels.index(row.label), xerr=bounds, fmt="o", color=ink, capsize=3)
        axes.axvline(own.loc[own["arm"] == MAIN, "value"].item(), color="#0072B2", linestyle="--", linewidth=1)
        axes.set(title=name, xlabel="points", yticks=range(len(labels)), yticklabels=labels)
    panels[0][0].set_ylim(len(labels) - 0.5, -0.5)  # shared: once turns all panels
    figure.suptitle(title, fontweight="bold", fontsize=12)
    figure.tight_layout()
    return figure


def bars(table: pd.DataFrame, column: str, by: str, title: str, ylabel: str) -> Figure:
    """Grouped bars of ``column`` by language."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    table = table.assign(**{by: table[by].astype(str)})  # numbers would get shades of one colour
    sns.barplot(table, x="lang", y=column, hue=by, ax=axes, errorbar=None)
    axes.set(title=title, ylabel=ylabel, xlabel="")
    _hatch(axes, axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title=by))
    return figure


def joint(results: pd.DataFrame, title: str) -> Figure:
    """Right answers to word problems by language and model: those in the language asked for, and on them the others.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv of task mgsm and one arm.
    """
    keys = ["model", "lang"]
    right = results[results["metric"] == "accuracy"].drop_duplicates(keys).set_index(keys)["value"]
    inside = results[(results["metric"] == "lc_accuracy") & (results["lang"] != "avg")]
    every = right.reindex(pd.MultiIndex.from_frame(inside[keys])).to_numpy()
    parts = {"lc_accuracy": "right, in the language\nasked for", "elsewhere": "right, in another"}
    rest = inside.assign(metric="elsewhere", value=every - inside["value"])
    return stacked(pd.concat([inside, rest]), parts, title, "accuracy")


def off_target(results: pd.DataFrame, title: str) -> Figure:
    """Answers that are in another language than the prompt, and on them those that are too short to tell."""
    parts = {"off_target": "in another language", "undecided": "undecided"}
    return stacked(results, parts, title, "share of answers")


def stacked(results: pd.DataFrame, metrics: Mapping[str, str], title: str, ylabel: str) -> Figure:
    """Bars of two rates that make up a third, one group a language, one bar a model; the error bars are the lower's.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv of one task, values in [0, 1].
    metrics : mapping of str to str
        The lower part and what lies on it, each with its words for the legend.
    """
    rows = results[results["metric"].isin(metrics) & (results["lang"] != "avg")]
    if rows["value"].isna().all():
        return blank(title)
    models, languages = list(dict.fromkeys(rows["model"])), list(dict.fromkeys(rows["lang"]))
    figure, axes = plt.subplots(figsize=(max(7.0, 0.24 * len(models) * len(languages) + 2), 3.8))
    width, (below, above) = 0.8 / len(models), metrics
    for k, model in enumerate(models):
        own = rows[rows["model"] == model].set_index(["metric", "lang"])
        low, top = (own.loc[metric].reindex(languages) for metric in (below, above))
        x = [m + (k - (len(models) - 1) / 2) * width for m in range(len(languages))]
        ink: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "edgecolor": "white", "linewidth": 0.5}
        axes.bar(x, low["value"], width, label=model, **ink)
        axes.bar(x, top["value"], width, bottom=low["value"], **ink | {"alpha": 0.45, "hatch": "////"})
        bounds = [low["value"] - low["low"], low["high"] - low["value"]]
        axes.errorbar(x, low["value"], yerr=bounds, fmt="none", ecolor="#333333", elinewidth=0.8, capsize=1.5)
    handles, labels = axes.get_legend_handles_labels()
    grey: dict[str, Any] = {"facecolor": "#777777", "edgecolor": "white"}
    handles += [Patch(**grey), Patch(**grey, alpha=0.45, hatch="////")]
    axes.legend(handles, [*labels, *metrics.values()], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set(title=title, ylabel=ylabel, xticks=range(len(languages)), xticklabels=languages)
    axes.set_ylim(0, 1.03 * axes.get_ylim()[1])
    axes.grid(axis="x", visible=False)
    return figure


def words(table: pd.DataFrame, title: str) -> Figure:
    """What `rewarded.table` has, one panel a measure, with 95 % bounds; 1 is marked where a figure is a ratio."""
    if table["value"].isna().all():
        return blank(title)
    measures, languages = list(dict.fromkeys(table["measure"])), list(dict.fromkeys(table["lang"]))
    size = (3.4 * len(measures) + 0.6, 0.55 * len(languages) + 1.9)
    figure, panels = plt.subplots(1, len(measures), figsize=size, sharey=True, squeeze=False)
    for axes, measure in zip(panels[0], measures, strict=True):
        own = table[table["measure"] == measure]
        whose = list(dict.fromkeys(own["whose"]))
        for k, name in enumerate(whose):
            rows = own[own["whose"] == name]
            y = [languages.index(lang) + (k - (len(whose) - 1) / 2) * 0.2 for lang in rows["lang"]]
            bounds = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
            drawn = {"fmt": MARKERS[k], "color": COLOURS[k % len(COLOURS)], "markersize": 5, "capsize": 2}
            axes.errorbar(rows["value"], y, xerr=bounds, elinewidth=0.9, label=name, **drawn)
        if own["ratio"].any():
            axes.axvline(1, color="#555555", linewidth=1)
        label = "ratio (1: no difference)" if own["ratio"].any() else "share"
        axes.set(title=fill(measure, 22), xlabel=label, yticks=range(len(languages)), yticklabels=languages)
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=9)
    panels[0][0].set_ylim(len(languages) - 0.5, -0.5)  # shared: once turns all panels
    figure.suptitle(title, fontweight="bold", fontsize=12)
    figure.tight_layout()
    return figure


def _hatch(axes: Axes, legend: Legend) -> None:
    """A pattern for every hue of bars or boxes, so that no colour has to be told from another."""
    for container, handle, pattern in zip(axes.containers, legend.legend_handles, PATTERNS, strict=False):
        drawn: Any = getattr(container, "boxes", None) or container.patches  # type: ignore[attr-defined]
        for patch in (*drawn, handle):
            patch.set_hatch(pattern)
