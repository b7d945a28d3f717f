"""X-AlpacaEval: verdicts against the references and between models, and the figures they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.evaluation import length_controlled_rows, summarise
from ldr_utils.judging import Judge, compare, length_controlled, outcome
from ldr_utils.params import AlpacaParams
from ldr_utils.progress import track
from ldr_utils.records import Record, read_jsonl

ByLanguage = dict[str, list[Record]]


def against_reference(judge: Judge, responses: ByLanguage) -> pd.DataFrame:
    """Verdicts of every answer against its record's ``reference`` (see ``judging.compare``)."""
    return _judge(judge, responses, {lang: [r["reference"] for r in records] for lang, records in responses.items()})


def against_model(judge: Judge, responses: ByLanguage, rival: Path) -> pd.DataFrame:
    """Verdicts of every answer against the answer of another model, read from its stage folder."""
    theirs = {lang: [r["response"] for r in read_jsonl(rival / f"{lang}.jsonl")] for lang in responses}
    return _judge(judge, responses, theirs)


def _judge(judge: Judge, responses: ByLanguage, theirs: dict[str, list[str]]) -> pd.DataFrame:
    tables = [
        compare(judge, records, [r["response"] for r in records], theirs[lang])
        for lang, records in track(responses.items(), "judging", total=len(responses))
    ]
    return pd.concat(tables, ignore_index=True)


def verdict_table(verdicts: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Win rate, length-controlled win rate, flip rate and mean length difference (characters) by language."""
    groups = verdicts.groupby("lang")
    table = pd.DataFrame(
        {
            "win_rate": groups["preference"].mean(),
            "lc_win_rate": {lang: length_controlled(group) for lang, group in groups},
            "flip_rate": groups["flip"].mean(),
            "length_difference": groups["length_difference"].mean(),
        }
    )
    return table.reindex(languages)


def result_rows(
    verdicts: pd.DataFrame, duels: dict[int, pd.DataFrame], checks: pd.DataFrame, params: AlpacaParams
) -> list[dict[str, Any]]:
    """Rows of results.csv: win rates of M_t, off-target rate, and M_t against every earlier M_s."""
    model, task = f"M{params.t}", "x_alpacaeval"
    found = summarise(verdicts.rename(columns={"preference": "win_rate"}), "win_rate", params, params.arm, model, task)
    found += length_controlled_rows(verdicts, params, params.arm, model)
    found += summarise(checks.astype({"off_target": float}), "off_target", params, params.arm, model, task)
    for s, duel in duels.items():
        table = pd.concat([duel[["id", "lang"]], outcome(duel["preference"])], axis=1)
        for metric in ("h2h_win", "h2h_tie", "h2h_lose"):
            found += summarise(table, metric, params, params.arm, f"{model}-vs-M{s}", task)
    return found
