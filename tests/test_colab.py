"""Colab: the first cell of every notebook does nothing anywhere else, and what it runs there needs no package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ldr_utils import colab
from ldr_utils.commands.execute import execute
from ldr_utils.policy.load import LEAST_TORCHAO
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import ROOT


def test_the_repository_is_named_in_one_place() -> None:
    """Notebooks repeat it, and tests/test_stamp.py holds them to the module; nothing else knows it."""
    places = [*ROOT.glob("ldr_utils/**/*.py"), *ROOT.glob("params/*"), ROOT / "README.md", ROOT / "pyproject.toml"]
    assert [p.name for p in places if colab.REPOSITORY in p.read_text(encoding="utf-8")] == ["colab.py"]


def test_the_module_needs_nothing_but_the_standard_library() -> None:
    """On Colab it runs by its path, before any package is there."""
    code = f"import runpy; print(callable(runpy.run_path({colab.__file__!r})['install']))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def run_cell(monkeypatch: pytest.MonkeyPatch, on_colab: bool, installed: bool) -> list[str]:
    """What the cell would do."""
    done: list[str] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(os, "system", done.append)
    monkeypatch.setattr("runpy.run_path", lambda path: {"install": lambda: done.append(path)})
    if on_colab:
        monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    else:
        monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    exec(colab.CELL, {})
    return done


def test_cell_works_on_colab_alone_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_cell(monkeypatch, on_colab=False, installed=False) == []
    assert run_cell(monkeypatch, on_colab=True, installed=True) == []  # a stage's own kernel
    clone, install = run_cell(monkeypatch, on_colab=True, installed=False)
    assert clone == f"git clone --depth 1 https://github.com/{colab.REPOSITORY} /content/ldr"
    assert install == "/content/ldr/ldr_utils/colab.py"


def test_colab_keeps_its_own_torch() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    left = colab.without_torch(pins)
    assert re.findall(r"(?m)^torch==.*", pins)
    assert set(pins.splitlines()) - set(left.splitlines()) == set(re.findall(r"(?m)^torch==.*", pins))


def test_a_notebook_opened_alone_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """04 by its badge, on a machine where nothing was run."""
    output = tmp_path / "04_pairs.ipynb"
    assert execute("04_pairs", output, {"run_dir": str(tmp_path / "run")}) == 1
    remedy = "run 02_generation first, or ldr run, which runs what is missing"
    assert capsys.readouterr().err.rstrip().endswith(remedy)
    errors = [out for cell in json.loads(output.read_text())["cells"] for out in cell.get("outputs", [])]
    (shown,) = [out["traceback"] for out in errors if out["output_type"] == "error"]
    assert len(shown) == 1
    assert shown[0].startswith("InputError: ")
    assert shown[0].endswith(remedy)


def test_colab_gets_a_torchao_that_peft_takes() -> None:
    assert Requirement(colab.TORCHAO).specifier == Requirement(f"torchao>={LEAST_TORCHAO.removesuffix('.0')}").specifier


def test_report_that_is_not_there_yet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no report; run the study to its end first"):
        colab.show_report(str(tmp_path))
