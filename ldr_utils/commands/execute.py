"""Run one notebook with papermill, as a rule of the Snakefile does.

``python -m ldr_utils.commands.execute PARENT NAME OUTPUT JSON``, where PARENT is the process id of Snakemake and the
working directory is the run folder: its name is no part of what a stage is told, so that a folder that was moved or
renamed is as complete as before.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ldr_utils.commands.kernel import COMMAND
from ldr_utils.commands.lifeline import die_with_parent
from ldr_utils.study.arms import MAIN
from ldr_utils.study.paths import NOTEBOOKS, shortest
from ldr_utils.study.text import for_terminal, one_line

START_SECONDS = 600  # on a busy machine or a cold network disk a kernel takes more than the usual minute to start
LONGEST_FOLDER = 70  # bytes: a socket's path may have 103 (macOS) or 107, and the folder's name and the socket's follow
QUIET = ["--Application.log_level=CRITICAL"]  # extra arguments of every kernel: no word on being shut down


def label(name: str, values: dict[str, Any]) -> str:
    """Short name of a stage for the terminal, e.g. ``[M1 sft 05_qlora_dpo]``."""
    place = f"M{values['t']} " if "t" in values else ""
    arm = f"{values['arm']} " if values.get("arm", MAIN) != MAIN else ""
    return f"[{place}{arm}{name}]"


def execute(name: str, output: Path, values: dict[str, Any]) -> int:
    """Execute notebook ``name`` and report how it went on the error stream.

    Returns
    -------
    int
        0, or 1 when a cell failed, its kernel died, or the executed notebook could not be written: the notebook, the
        cell and the cause have been printed.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    stage = label(name, values)
    os.environ["LDR_STAGE"] = stage
    os.environ["LDR_TERMINAL"] = f"/proc/{os.getpid()}/fd/2"
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _say(f"{stage} started")
    try:
        with socket_folder() as sockets:
            # sockets of our own: no open port, and no stage that runs beside this one can be taken for it
            config = Config(
                KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"},
                NotebookClient={"extra_arguments": QUIET},
            )
            done = papermill.execute_notebook(
                NOTEBOOKS / f"{name}.ipynb",
                output,
                values,
                progress_bar=False,
                cwd=str(NOTEBOOKS),
                config=config,
                kernel_manager_class=_own_kernel(),
                start_timeout=START_SECONDS,
            )
    except PapermillExecutionError as error:
        return _failed(stage, f"in cell {error.exec_count} of {output}: {error.ename}: {error.evalue}")
    except OSError as error:
        return _failed(stage, f"at {error.filename or output}: {error.strerror or repr(error)}")
    except RuntimeError as error:
        if not str(error).startswith("Kernel died"):
            raise
        return _failed(stage, f"in cell {_cells_begun(output)} of {output}: the kernel died (out of memory?)")
    _say(f"{stage} done in {time.monotonic() - started:.0f} s: {one_line(_headline(done))}")
    return 0


def _own_kernel() -> Any:
    """What starts a kernel of this interpreter; a spec that somebody installed under the same name plays no part."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=COMMAND, display_name="Python 3", language="python")

    return OwnKernel


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of its own whose path is short enough for sockets in it, wherever ``TMPDIR`` points."""
    folders = [os.environ.get("LDR_SOCKETS", tempfile.gettempdir()), "/tmp", "/var/tmp", "/dev/shm"]
    short = (folder for folder in folders if len(os.fsencode(folder)) <= LONGEST_FOLDER and os.access(folder, os.W_OK))
    return tempfile.TemporaryDirectory(prefix="ldr-", dir=next(short, None))


def _failed(stage: str, what: str) -> int:
    _say(f"{stage} failed {one_line(what)}")
    return 1


def _say(line: str) -> None:
    print(for_terminal(line, sys.stderr), file=sys.stderr, flush=True)


def _cells_begun(notebook: Path) -> int:
    """How many code cells of a notebook that broke off were begun: the number of the cell that it was at."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" and bool(cell["metadata"]["papermill"]["start_time"]) for cell in cells)


def _headline(notebook: Any) -> str:
    """The last line that the last cell printed: every notebook ends with its stage's headline."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stdout"]
    return outputs[-1]["text"].strip().split("\n")[-1] if outputs else ""


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    given = json.loads(sys.argv[4]) | {"run_dir": shortest(Path.cwd())}
    sys.exit(execute(sys.argv[2], Path(sys.argv[3]), given))
