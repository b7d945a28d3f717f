"""Run one notebook with papermill, as a rule of the Snakefile does.

``python -m ldr_utils.execute NAME OUTPUT JSON``
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ldr_utils.paths import NOTEBOOKS


def label(name: str, values: dict[str, Any]) -> str:
    """Short name of a stage for the terminal, e.g. ``[M1 sft 05_qlora_dpo]``."""
    place = f"M{values['t']} " if "t" in values else ""
    arm = f"{values['arm']} " if values.get("arm", "lidr") != "lidr" else ""
    return f"[{place}{arm}{name}]"


def execute(name: str, output: Path, values: dict[str, Any]) -> int:
    """Execute notebook ``name`` and report how it went on the error stream.

    Returns
    -------
    int
        0, or 1 when a cell failed: the notebook, the cell and the cause have been printed.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    stage = label(name, values)
    os.environ["LDR_STAGE"] = stage
    os.environ["LDR_TERMINAL"] = f"/proc/{os.getpid()}/fd/2"
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print(f"{stage} started", file=sys.stderr, flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="ldr-") as sockets:
            # sockets of our own: no open port, and no stage that runs beside this one can be taken for it
            config = Config(
                KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"},
                NotebookClient={"extra_arguments": ["--Application.log_level=CRITICAL"]},  # no word on being shut down
            )
            done = papermill.execute_notebook(
                NOTEBOOKS / f"{name}.ipynb", output, values, progress_bar=False, cwd=str(NOTEBOOKS), config=config
            )
    except PapermillExecutionError as error:
        cause = f"{error.ename}: {error.evalue}"
        print(f"{stage} failed in cell {error.exec_count} of {output}: {cause}", file=sys.stderr, flush=True)
        return 1
    print(f"{stage} done in {time.monotonic() - started:.0f} s: {_headline(done)}", file=sys.stderr, flush=True)
    return 0


def _headline(notebook: Any) -> str:
    """The last line that the last cell printed: every notebook ends with its stage's headline."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stdout"]
    return outputs[-1]["text"].strip().split("\n")[-1] if outputs else ""


if __name__ == "__main__":
    sys.exit(execute(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))
