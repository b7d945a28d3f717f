"""Grade a file of any model's MGSM answers, without a study around it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

import pandas as pd

from ldr_utils.languages.numbers import extract, gold_number
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.scores.mgsm import MGSM_METRICS, score_mgsm
from ldr_utils.scores.rows import wide
from ldr_utils.scores.stats import Interval, mean_interval
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl, write_text
from ldr_utils.study.records import Record, Response

LABELS = {
    "accuracy": "accuracy (answer phrase, else last number)",
    "accuracy_phrase": "accuracy (answer phrase only)",
    "no_answer": "no answer (no number at all)",
    "no_phrase": "no answer phrase",
    "off_target": "off-target (another language)",
}


def score_file(path: Path, lang: str, out: Path | None = None) -> str:
    """Grade every row of a JSON Lines file.

    Parameters
    ----------
    path : Path
        Rows with ``response`` (text) and ``answer`` (the gold number, or text that holds it); each row is a problem.
    lang : str
        ISO 639-1 code of the language that the questions are in.
    out : Path, optional
        CSV file for the verdicts by row: ``line`` of the file, gold ``answer``, numbers found by either extractor
        (``phrase``, ``last``), and the metrics.

    Returns
    -------
    str
        Each rate in percent with its 95 % interval (see ``stats.mean_interval``).

    Raises
    ------
    InputError
        For an unknown language, a file or row that cannot be graded, or an ``out`` that cannot be written.
    """
    if lang not in LANGUAGES:
        raise InputError(f"--lang {lang}: not a known language; use one of {', '.join(sorted(LANGUAGES))}")
    table = verdicts(read_answers(path), lang)
    if out is not None:
        _write(out, table.drop(columns="lang").to_csv(index=False, float_format="%.0f"), path)
    keyed = table.rename(columns={"line": "id"})
    rates = {metric: mean_interval(wide(keyed, metric))[lang] for metric in LABELS}
    lines = [f"{path}: {len(table)} answers in {LANGUAGES[lang].name}"]
    return "\n".join(lines + [f"{LABELS[metric]:<43} {_percent(rate)}" for metric, rate in rates.items()])


def _write(out: Path, text: str, source: Path) -> None:
    if out.resolve() == source.resolve():
        raise InputError(f"--out {out}: is the file with the answers; name another")
    try:
        write_text(out, text)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); name another file") from None


def read_answers(path: Path) -> list[Record]:
    """Rows of the file, each with its ``line`` number added.

    Raises
    ------
    InputError
        When the file is missing or not JSON Lines, or a row lacks a usable ``response`` or ``answer``.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a JSON Lines file with response and answer in every row")
    rows = read_jsonl(path)
    filled = [n for n, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1) if line.strip()]
    for number, row in zip(filled, rows, strict=True):
        _check(row, f"{path}: line {number}")
    return [row | {"line": number} for number, row in zip(filled, rows, strict=True)]


def _check(row: Record, where: str) -> None:
    for key in ("response", "answer"):
        if key not in row:
            raise InputError(f"{where}: no key {key}; add it (response: the model's text, answer: the gold number)")
    if not isinstance(row["response"], str):
        raise InputError(f"{where}: response is not text; write it as a JSON string, empty if there is none")
    try:
        if isinstance(row["answer"], bool) or not isinstance(row["answer"], str | int | float):
            raise ValueError
        gold_number(row["answer"])
    except ValueError:
        raise InputError(f"{where}: answer is not one number; write the gold number alone, such as 18") from None


def verdicts(rows: list[Record], lang: str) -> pd.DataFrame:
    """One row an answer: ``line``, ``lang``, ``answer``, ``phrase``, ``last``, the MGSM metrics, ``no_phrase``."""
    keyed = [{"id": r["line"], "lang": lang, "gold": r["answer"], "response": r["response"]} for r in rows]
    table = score_mgsm(cast(list[Response], keyed))[["id", "lang", *MGSM_METRICS]].rename(columns={"id": "line"})
    found = [extract(row["response"], lang) for row in rows]
    numbers: dict[str, Sequence[Decimal | None]] = {
        "answer": [gold_number(row["answer"]) for row in rows],
        "phrase": [extraction.phrase for extraction in found],
        "last": [extraction.last for extraction in found],
    }
    for place, (name, column) in enumerate(numbers.items(), 2):
        table.insert(place, name, ["" if number is None else f"{number:f}" for number in column])
    return table.assign(no_phrase=(table["phrase"] == "").astype(float))


def _percent(rate: Interval) -> str:
    return f"{100 * rate.value:5.1f} %   95 % interval {100 * rate.low:.1f} to {100 * rate.high:.1f}   n {rate.n}"
