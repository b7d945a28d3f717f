"""The reports that ship: complete, small, of this repository only, and quoted truly in the README."""

from __future__ import annotations

import re

import nbformat
import pandas as pd
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]

from ldr_utils.scores.rows import COLUMNS
from ldr_utils.study.paths import ROOT

MICRO = ROOT / "reports" / "micro"
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTCOMES = ["h2h_win", "h2h_tie", "h2h_lose"]


def mean_over_seeds(task: str, metric: str, model: str, lang: str = "en") -> float:
    """Of the micro study's method."""
    rows = pd.read_csv(MICRO / "results.csv")
    found = rows.query("task == @task and metric == @metric and model == @model and lang == @lang and arm == 'lidr'")
    assert len(found) == 3
    return float(found["value"].mean())


def share(value: float) -> str:
    """As the README writes it: three decimals, without a leading zero."""
    return f"{value:.3f}".removeprefix("0")


def head_to_head(model: str) -> list[int]:
    """English instructions won, tied and lost, all seeds together."""
    rows = pd.read_csv(MICRO / "results.csv")
    rows = rows[(rows["lang"] == "en") & (rows["arm"] == "lidr") & (rows["model"] == model)]
    counts = []
    for metric in OUTCOMES:
        found = rows[rows["metric"] == metric]
        assert len(found) == 3
        counts.append(round(float((found["value"] * found["n"]).sum())))
    return counts


def test_the_readme_quotes_the_report() -> None:
    quoted = re.findall(r"^\| (?:mgsm|x_alpacaeval) \|.*$", README, re.M)
    assert len(quoted) >= 8
    assert set(quoted) <= set((MICRO / "README.md").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("task", ["mgsm", "x_alpacaeval"])
def test_the_readme_shows_the_dominant_language(task: str) -> None:
    """The paper's second claim is about it; a table without it once hid that it does not hold here."""
    assert f"| {task} | M2 - M0 | dominant |" in README


def test_the_readme_gives_english_win_rates_and_accuracies_of_the_results() -> None:
    before, after = (mean_over_seeds("x_alpacaeval", "win_rate", model) for model in ("M0", "M2"))
    assert f"it goes from {share(before)} to {share(after)}" in README
    assert f"| x_alpacaeval | M2 - M0 | dominant | {100 * (after - before):+.1f} (" in README
    before, after = (mean_over_seeds("mgsm", "accuracy", model) for model in ("M0", "M2"))
    assert before == after
    assert f"English stays at {share(before)} on MGSM" in README


def test_the_readme_gives_the_english_head_to_head_of_the_results_beside_the_papers() -> None:
    paper = pd.read_csv(ROOT / "ldr_utils" / "report" / "paper.csv")
    for newer, older in (("M1", "M0"), ("M2", "M0"), ("M2", "M1")):
        model = f"{newer}-vs-{older}"
        counts = head_to_head(model)
        assert sum(counts) == 300
        rows = paper.query("task == 'x_alpacaeval' and model == @model and lang == 'en'")
        published = rows.set_index("metric")["value"]
        ours = " / ".join(map(str, counts))
        shares = " / ".join(f"{count / 3:.1f}" for count in counts)
        theirs = " / ".join(f"{100 * published[metric]:.1f}" for metric in OUTCOMES)
        assert f"| {newer} against {older} | {ours} ({shares} %) | {theirs} |" in README


def test_the_readme_gives_the_sign_test_of_the_english_head_to_head() -> None:
    won, _, lost = head_to_head("M2-vs-M1")
    p = binomtest(won, won + lost).pvalue
    assert f"(sign test, uncorrected: p = {share(p)})" in README


def test_the_readme_gives_the_off_target_rate_that_rises() -> None:
    paper = pd.read_csv(ROOT / "ldr_utils" / "report" / "paper.csv")
    theirs = paper.query("metric == 'off_target' and lang == 'sw'").set_index("model")["value"]
    before, after = (mean_over_seeds("mgsm", "off_target", model, "sw") for model in ("M0", "M2"))
    assert before == 0
    assert f"sw, from 0 to {share(after)} (paper: from {share(theirs['M0'])} to {share(theirs['M2'])})" in README


def test_links_and_figures_of_reports_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "reports").glob("*/README.md")]
    assert len(pages) >= 4
    for page in pages:
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
        assert not missing, page


def test_reported_seeds_are_not_development_seeds() -> None:
    results = pd.read_csv(MICRO / "results.csv")
    log = (ROOT / "reports" / "LOG.md").read_text(encoding="utf-8")
    development = {int(seed) for seed in re.findall(r"\d+", re.search(r"Development seeds: ([\d, ]+)", log)[1])}  # type: ignore[index]
    assert list(results.columns) == COLUMNS
    assert results["seed"].nunique() == 3
    assert not set(results["seed"]) & development


def test_notebooks_ran_in_full_and_tell_nothing_of_the_machine() -> None:
    notebooks = list((ROOT / "reports").rglob("*.ipynb"))
    assert len(notebooks) >= 20
    for path in notebooks:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|Users|work)/", text), path
        code = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), path


def test_reports_stay_small() -> None:
    for folder in (ROOT / "reports").iterdir():
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10e6
