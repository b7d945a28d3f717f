"""Every shipped params file is valid, and every key in it reaches a notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import SHIPPED

from ldr_utils.commands.shapes import KNOWN
from ldr_utils.data.coverage import check_languages
from ldr_utils.study.params import NOTEBOOKS, PER_RUN, EvaluateParams, StudyParams, load_params
from ldr_utils.study.paths import ROOT

FILES = SHIPPED
REAL = [path for path in FILES if load_params(path).source == "published"]
STUDY_NOTEBOOKS = [name for name in NOTEBOOKS if name != "00_base_model"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_is_valid(path: Path) -> None:
    assert load_params(path).study == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_key_is_read_by_a_notebook(path: Path) -> None:
    params = load_params(path)
    read = {key for name in STUDY_NOTEBOOKS for key in params.for_notebook(name)}
    read |= (
        set(EvaluateParams.model_fields) - set(StudyParams.model_fields)
        if isinstance(params, EvaluateParams)
        else set()
    )
    assert set(yaml.safe_load(path.read_text())) - {"extends"} <= read


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_what_extends_another_file_repeats_nothing_of_it(path: Path) -> None:
    own = yaml.safe_load(path.read_text())
    if "extends" in own:
        base = load_params(path.parent / own["extends"]).model_dump()
        given = load_params(path).model_dump(include=set(own))
        assert [key for key, value in given.items() if value == base.get(key)] == []


def test_every_study_parameter_belongs_to_a_notebook() -> None:
    fields = {field for name in STUDY_NOTEBOOKS for field in NOTEBOOKS[name].model_fields}
    assert set(StudyParams.model_fields) == fields
    assert fields >= PER_RUN


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_opens_with_what_it_is_for(path: Path) -> None:
    first = path.read_text().split("\n")[0]
    assert re.match(r"# \w+", first), first
    assert max(map(len, path.read_text().splitlines())) <= 120


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_every_key_says_where_its_value_comes_from(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "extends:"))]
    assert [line for line in lines if not re.match(r"(\w+: .*\S|models:|  - \S+) +# \S+", line)] == []


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_no_folder_of_ours_is_a_default(path: Path) -> None:
    assert load_params(path).data_dir == ""


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_every_language_is_published(path: Path) -> None:
    params = load_params(path)
    tests = check_languages(params)
    assert set(params.all_languages) <= set(tests["mgsm"]) | set(tests["x_alpacaeval"])


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_memory_can_be_planned_before_the_model_is_there(path: Path) -> None:
    assert load_params(path).base_model.rpartition("/")[2].lower() in KNOWN


STUDIES = [path for path in FILES if not isinstance(load_params(path), EvaluateParams)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_doctor_gives_a_verdict(path: Path, tmp_path: Path) -> None:
    """On this machine, whatever it lacks, and without a word to the network."""
    command = [sys.executable, "-m", "ldr_utils.cli", "doctor", str(path), "--out", str(tmp_path / "run")]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said = "can run here" if done.returncode == 0 else "would not run here"
    assert done.returncode in (0, 2)
    assert done.stdout.splitlines()[-1].startswith(f"Verdict: this study {said}"), done.stdout + done.stderr
    assert str(tmp_path / "run") in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.rglob("*")) == [], "the doctor wrote something"


def test_notebooks_run_by_hand_are_the_micro_study() -> None:
    """After `make study` a notebook opened by hand finds its work done, and does not replace it by another seed's."""
    assert StudyParams() == load_params(ROOT / "params" / "micro.yaml")
