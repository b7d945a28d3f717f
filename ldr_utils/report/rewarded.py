"""What a judge may have rewarded: the words of the preferred sides, and of the model that was trained on them."""

from __future__ import annotations

import pandas as pd

from ldr_utils.study.arms import MAIN

RATIOS = {"length_ratio": "length", "variety_ratio": "variety (type/token)"}  # metrics of task words, and of what
SHARES = {"repetition": "repetition", "copied": "lines copied from the dominant answer"}


def table(results: pd.DataFrame, last: int) -> pd.DataFrame:
    """What chosen has over rejected in the pairs of M_0, and what the last model has over M_0.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv of one run.
    last : int
        The last model is M_last.

    Returns
    -------
    DataFrame
        ``measure``, ``ratio`` (whether it is one; otherwise two shares stand beside one another), ``of`` (pairs or
        models), ``whose``, ``lang``, ``split``, ``value``, ``low``, ``high``.
    """
    own = results[(results["task"] == "words") & (results["arm"] == MAIN)]
    wanted = []
    for metric, name in RATIOS.items():
        wanted.append((name, True, "pairs", "chosen / rejected (M0)", f"pair_{metric}", "M0"))
        wanted.append((name, True, "models", f"M{last} / M0", metric, f"M{last}-vs-M0"))
    for metric, name in SHARES.items():
        wanted += [(name, False, "pairs", f"{side} (M0)", f"{side}_{metric}", "M0") for side in ("chosen", "rejected")]
        wanted += [(name, False, "models", model, metric, model) for model in (f"M{last}", "M0")]
    parts = [
        own[(own["metric"] == metric) & (own["model"] == model)].assign(measure=name, ratio=ratio, of=of, whose=whose)
        for name, ratio, of, whose, metric, model in wanted
    ]
    return pd.concat(parts)[["measure", "ratio", "of", "whose", "lang", "split", "value", "low", "high"]]


def said(rows: pd.DataFrame) -> str:
    """``table`` in words, on average over the languages trained on, and whether the last model followed the pairs."""
    average = rows[(rows["lang"] == "avg") & (rows["split"] == "train")].dropna(subset=["low"])
    texts = [f"{r.whose} {r.value:.3f} ({r.low:.3f} to {r.high:.3f})" for r in average.itertuples()]
    shown = average.assign(text=texts).groupby("measure", sort=False)["text"].agg(", ".join)
    if shown.empty:
        return "*This run measured no words.*"
    followed = []
    for measure, own in average.groupby("measure", sort=False):
        pairs, models = (_way(own[own["of"] == of]) for of in ("pairs", "models"))
        if pairs == models != "":
            followed.append(f"{measure} ({pairs})")
    end = (
        f"The last model went the way of the chosen sides in {', '.join(followed)}: where a judge likes that for"
        " itself, it is part of the win rate."
        if followed
        else "In none of these did the last model clearly go the way of the chosen sides."
    )
    return "\n".join(f"- **{measure}**: {text}" for measure, text in shown.items()) + f"\n\n{end}"


def _way(rows: pd.DataFrame) -> str:
    """``more`` or ``less``, where the interval of a ratio does not hold 1, or those of two shares do not meet."""
    low, high = rows["low"].tolist(), rows["high"].tolist()
    if rows["ratio"].all():
        low, high = [*low, 1.0], [*high, 1.0]
    if len(low) < 2:
        return ""
    return "more" if low[0] > high[1] else "less" if high[0] < low[1] else ""
