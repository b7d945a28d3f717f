"""Stamping: what notebooks and params/micro.yaml repeat is what the schemas say, and stays readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from ldr_utils.colab import badge
from ldr_utils.commands import stamp
from ldr_utils.study.params import NOTEBOOKS as SCHEMAS
from ldr_utils.study.params import PER_RUN, AlpacaParams, MgsmParams, StudyParams, TrainingParams
from ldr_utils.study.paths import NOTEBOOKS, ROOT

STAMPED = stamp.stamped()


@pytest.mark.parametrize("path", STAMPED, ids=lambda p: p.stem)
def test_stamping_changes_nothing(path: Path) -> None:
    """If this fails: make stamp."""
    assert path.read_text(encoding="utf-8") == STAMPED[path]


def test_everything_is_stamped() -> None:
    assert set(STAMPED) == {*NOTEBOOKS.glob("*.ipynb"), ROOT / "params" / "micro.yaml"}
    assert {path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb")} <= set(SCHEMAS)


def test_every_parameter_has_its_place() -> None:
    """If this fails: a new schema is to be named in GROUPS."""
    assert set(stamp.PLACES) == set(StudyParams.model_fields)


def test_micro_fits_a_line_and_names_every_parameter() -> None:
    text = STAMPED[stamp.MICRO]
    assert max(map(len, text.splitlines())) <= 120
    assert set(yaml.safe_load(text)) == set(StudyParams.model_fields) - PER_RUN


def names(cell: str) -> list[str]:
    return [statement.targets[0].id for statement in ast.parse(cell).body]  # type: ignore[attr-defined]


def test_order_of_a_cell() -> None:
    """What the driver says first, then the stage's own."""
    driver = ["study", "run_dir", "seed", "dominant", "languages", "unseen", "language_records", "t", "arm"]
    assert names(stamp.parameters_cell(MgsmParams)) == driver
    training = names(stamp.parameters_cell(TrainingParams))
    assert training[:11] == [*driver, "base_model", "quantization"]
    assert training[-1] == "save_steps"
    assert names(stamp.parameters_cell(AlpacaParams))[9:11] == ["judge", "judge_model"]


def test_a_default_of_the_stage_wins() -> None:
    assert "\nt = 1  # help: index of the model M_t that comes out\n" in stamp.parameters_cell(TrainingParams)


@pytest.mark.parametrize(
    ("value", "python", "text"),
    [
        (5e-6, "5e-6", "5e-6"),
        (2.5e-4, "2.5e-4", "2.5e-4"),
        (0.1, "0.1", "0.1"),
        (0.0, "0.0", "0.0"),
        (30, "30", "30"),
        (False, "False", "false"),
        ("", '""', '""'),
        ("no", '"no"', '"no"'),
        ("Qwen/Qwen2-7B", '"Qwen/Qwen2-7B"', "Qwen/Qwen2-7B"),
        ("a: b", '"a: b"', '"a: b"'),
        (["en", "no"], '["en", "no"]', '[en, "no"]'),
        ([], "[]", "[]"),
    ],
)
def test_values_are_written_as_a_person_would(value: object, python: str, text: str) -> None:
    assert stamp.as_python(value) == python
    assert ast.literal_eval(python) == value
    assert stamp.as_yaml(value) == text


def test_other_cells_stay_and_stamping_twice_is_stamping_once() -> None:
    code = {"cell_type": "code", "id": "a", "metadata": {}, "source": ["print(1)"]}
    cell = code | {"id": "b", "metadata": {"tags": ["parameters"]}, "source": ["t = 9  # help: old"]}
    first = {"cell_type": "markdown", "id": "c", "metadata": {}, "source": ["# 07 MGSM"]}
    once = stamp.stamp_notebook({"cells": [first, cell, code], "nbformat": 4}, "07_mgsm")
    assert [cell["id"] for cell in once["cells"]] == ["c", "colab", "b", "a"]
    assert "".join(once["cells"][0]["source"]) == f"# 07 MGSM\n\n{badge('07_mgsm')}"
    assert "".join(once["cells"][2]["source"]) == stamp.parameters_cell(MgsmParams)
    assert once["cells"][3] == code
    assert stamp.stamp_notebook(once, "07_mgsm") == once
