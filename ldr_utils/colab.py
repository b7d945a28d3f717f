"""The study on Google Colab: the badge and first cell of every notebook, and what ``colab.ipynb`` calls.

The first cell runs this file by its path, before the package or anything it needs is installed: only the standard
library is imported here. ``make stamp`` writes badge and cell into all notebooks anew.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = "ldr-study/language-imbalance-rewarding"  # owner/name; the one place that says where the study lives
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
CLONE = "/content/ldr"
TORCHAO = "torchao>=0.16"  # Colab's own is older and would be seen, and PEFT refuses every LoRA beside it
CELL = f"""\
# On Colab, fetch the study and its packages; anywhere else, do nothing.
import importlib.util
import os
import runpy

if "COLAB_RELEASE_TAG" in os.environ and importlib.util.find_spec("ldr_utils") is None:
    os.system("git clone --depth 1 https://github.com/{REPOSITORY} {CLONE}")
    runpy.run_path("{CLONE}/ldr_utils/colab.py")["install"]()"""


def badge(name: str) -> str:
    """The line of Markdown that opens notebook ``name`` on Colab."""
    link = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"


def install() -> None:
    """Install the pinned packages into ``.venv`` and let this kernel import them.

    An environment of its own leaves the packages that Colab itself runs on as they are. It sees them too, so that
    Colab's torch, which fits its driver, is used where ``pyproject.toml`` allows it: torch alone is not pinned.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "pip", "install", "--quiet", "virtualenv")  # Colab's Python lacks venv's ensurepip
        _run(sys.executable, "-m", "virtualenv", "--quiet", "--system-site-packages", str(ENVIRONMENT))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(without_torch((ROOT / "constraints.txt").read_text(encoding="utf-8")))
        constraints.flush()
        packages = ["--editable", str(ROOT), TORCHAO]
        _run(str(python), "-m", "pip", "install", "--quiet", "--constraint", constraints.name, *packages)
    site = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    sys.path[:0] = [str(ROOT), str(site)]
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the stages' kernels run in .venv
    os.chdir(ROOT / "notebooks")


def without_torch(pins: str) -> str:
    """The lines of a constraints file except that of torch."""
    return re.sub(r"(?m)^torch==.*\n", "", pins)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def ldr(*arguments: str) -> int:
    """Run the command ``ldr`` from the repository and print what it says line by line, as it says it.

    Returns
    -------
    int
        Its exit code.
    """
    python = str(ENVIRONMENT / "bin" / "python") if "COLAB_RELEASE_TAG" in os.environ else sys.executable
    command = [python, "-m", "ldr_utils.cli", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
    return process.returncode


def show_report(run_dir: str) -> None:
    """Show the report of a finished run below the cell: the last executed ``08_report``, as ``report/`` has it.

    The page was sanitised when it was made. It is shown in a frame that runs no scripts.

    Raises
    ------
    InputError
        When there is none yet.
    """
    from IPython.display import HTML, display

    from ldr_utils.study.errors import InputError

    pages = list((ROOT / run_dir / "report" / "notebooks").glob("*/08_report.html"))
    if not pages:
        raise InputError(f"{run_dir}: holds no report; run the study to its end first")
    newest = max(pages, key=lambda path: path.stat().st_mtime)
    page = html.escape(newest.read_text(encoding="utf-8"))
    style = "width: 100%; height: 60em; border: 1px solid #ccc"
    display(HTML(f'<div><iframe sandbox srcdoc="{page}" style="{style}"></iframe></div>'))
