"""Writes into files what is said elsewhere: parameters cells, ``params/micro.yaml``, Colab's badge and first cell.

``python -m ldr_utils.commands.stamp`` (or ``make stamp``) after a change to a schema of ``study/params.py``, or to
``colab.py``. A test fails until it has been done.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ldr_utils.colab import CELL, badge
from ldr_utils.study import params as schemas
from ldr_utils.study.params import PER_RUN, Common, StudyParams
from ldr_utils.study.paths import NOTEBOOKS, ROOT

MICRO = ROOT / "params" / "micro.yaml"
HEADER = """\
# The default study: a world of templates, a model of two million parameters, a CPU, minutes.
# It proves the mechanism and the software; it makes no claim about large models.
# All parameters are here. Written by make stamp: change them in ldr_utils/study/params.py.
"""
GROUPS: dict[str, tuple[type[BaseModel], ...]] = {  # in this order everywhere; a schema's own parameters as declared
    "The study.": (Common, schemas.ArmParams),
    "Data.": (
        schemas.IterationParams,
        schemas.DataParams,
        schemas.TrainingPromptsParams,
        schemas.WordProblemParams,
    ),
    "The model, and generation: greedy, as in the paper.": (
        schemas.ModelParams,
        schemas.BatchParams,
        schemas.DecodingParams,
        schemas.BackendParams,
    ),
    "Translation.": (schemas.TranslationParams, schemas.TranslatingParams),
    "Pairs.": (schemas.PairsParams,),
    "Judging: of pairs (04b), of answers (06) and of MT-Bench (07d).": (schemas.JudgeParams, schemas.AlpacaParams),
    "Answers to test sets, what M_t keeps of what the base model knew, and MT-Bench.": (
        schemas.AnswersParams,
        schemas.TaxParams,
        schemas.BenchmarksParams,
        schemas.MtBenchQuestions,
    ),
    "Training: the loss is the paper's; its settings are not stated. Ours: reports/LOG.md.": (
        schemas.ReportParams,
        schemas.TrainingParams,
    ),
}
PLACES = {  # of every parameter its group, all in order
    name: group for group, classes in GROUPS.items() for cls in classes for name in inspect.get_annotations(cls)
}


def stamped() -> dict[Path, str]:
    """The text that every notebook and ``params/micro.yaml`` should have; nothing is written."""
    notebooks = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    texts = {
        path: json.dumps(stamp_notebook(notebook, path.stem), indent=1, ensure_ascii=False) + "\n"
        for path, notebook in notebooks.items()
    }
    return {**texts, MICRO: micro_params()}


def stamp_notebook(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """``notebook`` with its badge as the last line of the first cell, the Colab cell after it, and its parameters."""
    first, *others = notebook["cells"]
    text = "".join(first["source"]).split("\n\n[![Open in Colab]")[0] + "\n\n" + badge(name)
    colab = {
        "cell_type": "code",
        "execution_count": None,
        "id": "colab",
        "metadata": {"tags": ["colab"]},
        "outputs": [],
        "source": _lines(CELL),
    }
    others = [cell for cell in others if cell["id"] != "colab"]
    if schema := schemas.NOTEBOOKS.get(name):  # colab.ipynb has parameters of its own
        source = {"source": _lines(parameters_cell(schema))}
        others = [cell | source if "parameters" in cell["metadata"].get("tags", []) else cell for cell in others]
    return notebook | {"cells": [first | {"source": _lines(text)}, colab, *others]}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def parameters_cell(schema: type[BaseModel]) -> str:
    """The source of a notebook's parameters cell: one typed default a line, with its help."""
    names = list(schema.model_fields)
    if issubclass(schema, Common):
        names = [name for name in PLACES if name in schema.model_fields]
    fields = [(name, schema.model_fields[name]) for name in names]
    return "\n".join(f"{name} = {as_python(field.default)}  # help: {field.description}" for name, field in fields)


def micro_params() -> str:
    """The text of ``params/micro.yaml``: every parameter that a params file may set, by group."""
    groups = []
    for group in GROUPS:
        lines = [f"# {group}"]
        for name, place in PLACES.items():
            if place == group and name not in PER_RUN:
                field = StudyParams.model_fields[name]
                lines.append(f"{f'{name}: {as_yaml(field.default)}':<31} # {field.description}")
        groups.append("\n".join(lines))
    return HEADER + "\n" + "\n\n".join(groups) + "\n"


def as_python(value: Any) -> str:
    """``value`` as a literal of a parameters cell."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_python, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)}: {as_python(own)}' for name, own in value.items())}}}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _number(value)


def as_yaml(value: Any) -> str:
    """``value`` as one line of a params file, without quotes where YAML needs none."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_yaml(key)}: {as_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and yaml.safe_load(value) == value  # not so: no, null
        return value if plain else json.dumps(value, ensure_ascii=False)
    return _number(value)


def _number(value: float) -> str:
    """5e-6 in place of 5e-06 and of 0.000005."""
    if isinstance(value, float) and 0 < abs(value) < 0.01:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return repr(value)


def main() -> None:
    """Write what is not yet as it should be, and name it."""
    for path, text in stamped().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
