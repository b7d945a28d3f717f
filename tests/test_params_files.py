"""Every shipped params file is valid, and every key in it reaches a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ldr_utils.params import NOTEBOOKS, PER_RUN, StudyParams, load_params
from ldr_utils.paths import ROOT

FILES = sorted((ROOT / "params").glob("*.yaml"))
STUDY_NOTEBOOKS = [name for name in NOTEBOOKS if name != "00_base_model"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_is_valid(path: Path) -> None:
    assert load_params(path).study == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_key_is_read_by_a_notebook(path: Path) -> None:
    params = load_params(path)
    read = {key for name in STUDY_NOTEBOOKS for key in params.for_notebook(name)}
    assert set(yaml.safe_load(path.read_text())) <= read


def test_every_study_parameter_belongs_to_a_notebook() -> None:
    fields = {field for name in STUDY_NOTEBOOKS for field in NOTEBOOKS[name].model_fields}
    assert set(StudyParams.model_fields) == fields
    assert fields >= PER_RUN


def test_micro_names_every_parameter() -> None:
    """The default study doubles as the reference of all parameters."""
    assert set(yaml.safe_load((ROOT / "params" / "micro.yaml").read_text())) == set(StudyParams.model_fields) - PER_RUN
