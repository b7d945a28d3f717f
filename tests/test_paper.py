"""The packaged figures of the paper against the project's transcript of its tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import ldr_utils.report.paper
from ldr_utils.report.paper import values

DATA = Path(os.environ.get("LDR_DATA_DIR", Path(__file__).resolve().parents[2] / "shared" / "data"))
TRANSCRIPT = DATA.parent / "paper.md"
MODELS = {
    "M0 Llama-3-8B-Instruct": "M0",
    "Multilingual Alignment (SFT)": "SFT",
    "SFT baseline": "SFT",
    "M2 vs M0": "M2-vs-M0",
    "M1 vs M0": "M1-vs-M0",
    "M2 vs M1": "M2-vs-M1",
}
BENCHMARKS = {
    "MMLU": "mmlu",
    "HellaSwag": "hellaswag",
    "ARC-challenge": "arc_challenge",
    "TruthfulQA MC1": "truthfulqa_mc1",
    "MC2": "truthfulqa_mc2",
}
Key = tuple[str, str, str, str]


def cells(text: str) -> Iterator[tuple[str, str, str, str]]:
    """(section, row, column, cell) of every markdown table."""
    section = ""
    header: list[str] = []
    for line in text.split("\n"):
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            header = []
            continue
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if set("".join(row)) == {"-"}:
            continue
        if not header:
            header = row
            continue
        for column, cell in zip(header[1:], row[1:], strict=True):
            yield section, row[0], column, cell


def read(section: str, row: str, column: str, cell: str) -> dict[Key, float]:
    """What one cell of the transcript says, in the terms of paper.csv."""
    model, lang = MODELS.get(row, row), column.removesuffix(" (unseen)")
    if section.startswith("X-AlpacaEval"):
        return {("x_alpacaeval", "win_rate", model, lang): float(cell) / 100}
    if section.startswith("Head to head"):
        metrics = ("h2h_win", "h2h_tie", "h2h_lose")
        shares = zip(metrics, cell.split("/"), strict=True)
        return {("x_alpacaeval", metric, model, lang): float(share) / 100 for metric, share in shares}
    if section.startswith("MGSM"):
        accuracy, off_target = cell.removesuffix(")").split(" (")
        return {
            ("mgsm", "accuracy", model, lang): float(accuracy),
            ("mgsm", "off_target", model, lang): float(off_target),
        }
    if section.startswith("Why it works"):
        metric = "accuracy" if row.startswith("reward accuracy") else row.split(", ")[1].replace("-", "_")
        return {("reward", metric, "M0", lang): float(cell)}
    if section.startswith("Multilingual MT-Bench"):
        return {("mt_bench", "score", model, lang): float(cell)}
    if section.startswith("No alignment tax"):
        return {("benchmarks", BENCHMARKS[column], model, "avg"): float(cell)}
    raise AssertionError(f"a table that this test does not know: {section}")


def packaged() -> dict[Key, float]:
    table = pd.read_csv(Path(ldr_utils.report.paper.__file__).with_name("paper.csv"))
    keys = list(table[["task", "metric", "model", "lang"]].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys), "a figure is there twice"
    return dict(zip(keys, table["value"], strict=True))


def test_packaged_figures_equal_the_transcript() -> None:
    if not TRANSCRIPT.exists():
        pytest.skip(f"no transcript at {TRANSCRIPT}")
    expected: dict[Key, float] = {}
    for cell in cells(TRANSCRIPT.read_text(encoding="utf-8")):
        expected |= read(*cell)
    found = packaged()
    assert len(expected) > 250
    assert found.keys() == expected.keys()
    assert {key: value for key, value in found.items() if value != pytest.approx(expected[key], abs=1e-9)} == {}


def test_averages_agree_with_their_languages() -> None:
    """Catches slips that transcript and package would share: the published averages are of the published columns."""
    wide = values("x_alpacaeval", "win_rate")
    gap = (wide.drop(columns="avg").mean(axis=1) - wide["avg"]).abs()
    assert gap.max() < 0.0002, gap.round(4).to_dict()


def test_head_to_head_shares_sum_to_one() -> None:
    parts = [values("x_alpacaeval", metric) for metric in ("h2h_win", "h2h_tie", "h2h_lose")]
    assert ((parts[0] + parts[1] + parts[2] - 1).abs() < 0.0015).all(axis=None)


def test_published_keeps_the_order_of_the_paper() -> None:
    table = values("mgsm", "accuracy")
    assert list(table.index) == ["M0", "SFT", "M1", "M2"]
    assert list(table.columns) == ["en", "es", "ru", "de", "fr", "ja", "sw", "th", "zh", "bn"]
    assert table.loc["M2", "th"] == 0.536
