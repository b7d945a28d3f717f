"""The study's figures, in one style that survives print and colour-blind eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

MARKERS = "osD^vPX*<>hd"
OUTCOMES = {"h2h_win": "#0072B2", "h2h_tie": "#BBBBBB", "h2h_lose": "#D55E00"}


def use_style() -> None:
    """Set the style for all figures of a notebook."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams.update({"figure.dpi": 110, "savefig.dpi": 150, "axes.titlesize": 12, "axes.titleweight": "bold"})


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, cropped to its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")


def style_of(languages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker by language; the dash tells trained (solid) from unseen when drawn by ``model_lines``."""
    colours = sns.color_palette("colorblind", len(languages))
    return {
        lang: {"color": c, "marker": MARKERS[k % 12]}
        for k, (lang, c) in enumerate(zip(languages, colours, strict=True))
    }


def model_lines(results: pd.DataFrame, title: str, ylabel: str) -> Figure:
    """One line a language over M0, M1, ... with 95 % bounds; unseen languages are dashed.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv for one arm, task and metric.
    """
    results = results[results["lang"] != "avg"]
    languages = list(dict.fromkeys(results["lang"]))
    styles, models = style_of(languages), sorted(results["model"].unique())
    figure, axes = plt.subplots(figsize=(7, 4.4))
    for k, lang in enumerate(languages):
        own = results[results["lang"] == lang].set_index("model").loc[models]
        x = [m + (k - (len(languages) - 1) / 2) * 0.03 for m in range(len(models))]
        bounds = [own["value"] - own["low"], own["high"] - own["value"]]
        dash = "--" if own["split"].iloc[0] == "unseen" else "-"
        label = f"{lang} (unseen)" if dash == "--" else lang
        axes.errorbar(
            x, own["value"], yerr=bounds, label=label, linestyle=dash, capsize=2, elinewidth=0.8, **styles[lang]
        )
    axes.set(xticks=range(len(models)), xticklabels=models, title=title, ylabel=ylabel, ylim=(0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def head_to_head(results: pd.DataFrame, title: str) -> Figure:
    """Win / tie / lose shares by language, one panel a pair of models."""
    results = results[results["lang"] != "avg"]
    pairs, languages = list(dict.fromkeys(results["model"])), list(dict.fromkeys(results["lang"]))
    figure, panels = plt.subplots(
        1, len(pairs), figsize=(4 * len(pairs), 0.45 * len(languages) + 1.2), sharey=True, squeeze=False
    )
    for axes, pair in zip(panels[0], pairs, strict=True):
        left = pd.Series(0.0, index=languages)
        for metric, colour in OUTCOMES.items():
            chosen = results[(results["model"] == pair) & (results["metric"] == metric)]
            share = chosen.set_index("lang")["value"].reindex(languages)
            bars = axes.barh(languages, share, left=left, color=colour, label=metric.removeprefix("h2h_"))
            labels = [f"{v:.0%}" if v >= 0.08 else "" for v in share]
            ink = "black" if metric == "h2h_tie" else "white"
            axes.bar_label(bars, labels, label_type="center", fontsize=9, color=ink)
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
    figure, grid = plt.subplots(1, len(panels), figsize=(3.5 * len(panels), 3), squeeze=False)
    window = max(1, len(steps) // 10)
    for axes, (name, label) in zip(grid[0], panels.items(), strict=True):
        axes.plot(steps["step"], steps[name], color="#BBBBBB", linewidth=1)
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
        bar = axes.barh(name, value, left=remaining if lost else 0, color="#D55E00" if lost else "#0072B2")
        axes.bar_label(bar, [f"{'-' if lost and value else ''}{value}"], padding=3, fontsize=9)
    axes.set(title=title, xlabel="pairs", xlim=(0, values[0] * 1.12))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def lengths(table: pd.DataFrame, column: str, by: str | None, title: str, xlabel: str, rows: str = "lang") -> Figure:
    """Distribution of ``column``: one row for each value of ``rows``, in it one box for each value of ``by``."""
    figure, axes = plt.subplots(figsize=(7, 0.6 * table[rows].nunique() + 1.4))
    sns.boxplot(table, x=column, y=rows, hue=by, ax=axes, fliersize=2, linewidth=1)
    axes.set(title=title, xlabel=xlabel, ylabel="")
    if by:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None)
    return figure


def bars(table: pd.DataFrame, column: str, by: str, title: str, ylabel: str) -> Figure:
    """Grouped bars of ``column`` by language."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    sns.barplot(table, x="lang", y=column, hue=by, ax=axes, errorbar=None)
    axes.set(title=title, ylabel=ylabel, xlabel="")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title=by)
    return figure
