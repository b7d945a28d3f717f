"""The reports that ship: complete, small, of this repository only, and quoted truly in the README."""

from __future__ import annotations

import re

import nbformat
import pandas as pd

from ldr_utils.scores.rows import COLUMNS
from ldr_utils.study.paths import ROOT

MICRO = ROOT / "reports" / "micro"


def test_the_readme_quotes_the_report() -> None:
    quoted = re.findall(r"^\| (?:mgsm|x_alpacaeval) \|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(quoted) >= 8
    assert set(quoted) <= set((MICRO / "README.md").read_text(encoding="utf-8").splitlines())


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
