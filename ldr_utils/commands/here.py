"""Execute notebooks in this process, one after the other: seconds where a kernel a stage takes minutes.

For rehearsals: the cells are those of the real notebooks, but there is no executed copy, and a crash ends everything.
"""

from __future__ import annotations

import io
import json
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import NOTEBOOKS
from ldr_utils.study.text import one_line


def cells(name: str) -> list[tuple[str, bool]]:
    """Source of every code cell of a notebook, and whether it is the cell of its parameters."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [
        ("".join(cell["source"]), "parameters" in cell["metadata"].get("tags", []))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def execute_here(name: str, values: dict[str, Any]) -> str | None:
    """Run every cell of a notebook with ``values`` for its parameters.

    Returns
    -------
    str or None
        What broke, in one line; None where all cells ran.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown = io.StringIO()
    try:
        with redirect_stdout(shown), redirect_stderr(shown):
            for number, (source, is_parameters) in enumerate(cells(name), 1):
                exec(compile(source, f"{name}.ipynb, cell {number}", "exec"), namespace)  # the repository's own code
                if is_parameters:
                    namespace |= values
    except InputError as error:
        return one_line(str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return one_line(f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}, line {where.lineno})")
    finally:
        plt.close("all")
    return None
