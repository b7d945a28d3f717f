"""The numbers the authors published (arXiv 2410.08964), kept apart from ours: ``paper.csv`` beside this file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TRAINED = ["es", "ru", "de", "fr"]  # its non-dominant languages
UNSEEN = {"mgsm": ["ja", "sw", "th", "zh", "bn"]}  # by task, where it averages over any


def values(task: str, metric: str) -> pd.DataFrame:
    """Published values of one metric, models by languages, in the paper's order.

    Rates and accuracies are fractions, judge scores 0-10. ``M0``, ``M1`` and ``M2`` are the paper's Llama-3-8B models.
    """
    table = _everything()
    chosen = table[(table.task == task) & (table.metric == metric)]
    wide = chosen.pivot(index="model", columns="lang", values="value")
    return wide.loc[list(dict.fromkeys(chosen.model)), list(dict.fromkeys(chosen.lang))]


def rivals() -> pd.DataFrame:
    """What Implicit Cross-Lingual Rewarding reported on X-AlpacaEval: ``icr.csv``, read by eye from a picture.

    Returns
    -------
    DataFrame
        ``model``, ``languages`` (those of the average), ``lc_win_rate``, ``win_rate`` (percent; NaN: not reported).
    """
    return pd.read_csv(Path(__file__).with_name("icr.csv"), comment="#")


def _everything() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("paper.csv"))
