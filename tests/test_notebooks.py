"""Every notebook keeps its form: one parameters cell that agrees with its schema, no outputs, no functions."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ldr_utils.study.params import NOTEBOOKS as SCHEMAS
from ldr_utils.study.paths import NOTEBOOKS, ROOT

FILES = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
ALL = [*FILES, NOTEBOOKS / "colab.ipynb"]


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def parameters(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]


def test_every_schema_has_its_notebook() -> None:
    assert [path.stem for path in FILES] == sorted(SCHEMAS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_opens_with_its_purpose_and_exactly_one_parameters_cell(path: Path) -> None:
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith(f"# {path.stem.split('_')[0]} ")
    first = next(cell for cell in cells if cell.cell_type == "code" and "colab" not in cell.metadata.get("tags", []))
    assert [cell.id for cell in parameters(path)] == [first.id]


def _items(value: object) -> list[object]:
    """The values of a list or of a dict, otherwise the value."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_parameters_run_by_hand_are_the_defaults_of_the_schema(path: Path) -> None:
    statements = ast.parse(parameters(path)[0].source).body
    assert all(isinstance(s, ast.Assign) and len(s.targets) == 1 for s in statements)
    values = {s.targets[0].id: ast.literal_eval(s.value) for s in statements}
    schema = SCHEMAS[path.stem]
    assert values == {name: field.default for name, field in schema.model_fields.items()}
    schema(**values)
    flat = (str, int, float, bool)
    items = [item for value in values.values() for item in _items(value)]
    assert all(isinstance(item, flat) for item in items)


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_is_kept_without_outputs(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_code_cells_are_short_and_define_nothing(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, definitions) for node in ast.walk(ast.parse(cell.source)))
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.split("\n")) <= 22, cell.source


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_lines_of_code_are_as_short_as_those_of_modules(path: Path) -> None:
    lines = [line for cell in read(path).cells if cell.cell_type == "code" for line in cell.source.split("\n")]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_results_are_followed_by_an_observation(path: Path) -> None:
    assert any("**Observation.**" in cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def test_colab_notebook_takes_three_flat_parameters() -> None:
    (cell,) = parameters(NOTEBOOKS / "colab.ipynb")
    assert all("  # help: " in line for line in cell.source.split("\n"))
    values = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}
    assert {name: type(value) for name, value in values.items()} == {
        "params_file": str,
        "out": str,
        "save_to_drive": bool,
    }
    assert (ROOT / values["params_file"]).is_file()
