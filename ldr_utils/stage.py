"""A stage's life: what it starts from, what it leaves behind, and the manifest that says it is complete."""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ldr_utils.errors import InputError
from ldr_utils.paths import ROOT, from_root
from ldr_utils.provenance import digest, engine_hash, git_state, package_versions, sha256
from ldr_utils.records import write_text

PER_MACHINE = {  # where, how fast and at what price a stage ran, not what it computed
    "run_dir",
    "threads",
    "gpu_memory",
    "judge_concurrency",
    "judge_key_env",
    "judge_price_in",
    "judge_price_out",
    "judge_budget",
}
WRITERS = {  # folder of a manifest -> the notebook that writes it, to tell who opens a later one first
    "data": "01_data",
    "responses": "02_generation",
    "translations": "03_translation",
    "pairs": "04_pairs",
    "adapter": "05_qlora_dpo",
    "x_alpacaeval": "06_x_alpacaeval",
    "mgsm": "07_mgsm",
}


@dataclass
class Stage:
    """One notebook's work on one model.

    Attributes
    ----------
    name : str
        The notebook.
    folder : Path
        Where the stage writes; ``manifest.json`` in it is written last.
    params : BaseModel
        The validated parameters.
    inputs : list of Path
        Files that the stage reads.
    """

    name: str
    folder: Path
    params: BaseModel
    inputs: list[Path]
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, name: str, folder: Path, params: BaseModel, inputs: list[Path]) -> Stage:
        """Start a stage. What an earlier, interrupted run of the same stage left is kept; anything else is removed.

        Raises
        ------
        InputError
            When an input is missing.
        """
        for path in inputs:
            if not path.exists():
                raise InputError(f"{path}: no such file; run {WRITERS.get(path.parent.name, 'its stage')} first")
        stage = cls(name, folder, params, inputs)
        key = stage.key()
        mark = folder / "stage.json"
        if folder.exists() and not (mark.exists() and json.loads(mark.read_text()).get("key") == key):
            stage.clear()
        (folder / "manifest.json").unlink(missing_ok=True)
        write_text(mark, json.dumps({"name": name, "key": key}) + "\n")
        return stage

    def key(self) -> str:
        """Identity of the work: its code, the parameters that matter, and the content of its inputs."""
        inputs = [_fingerprint(path) for path in self.inputs]
        return digest([engine_hash(self.name), self.params.model_dump(exclude=PER_MACHINE), inputs])

    def _name(self, path: Path) -> str:
        """``path`` relative to the run folder or the repository, whichever holds it."""
        run_dir = from_root(getattr(self.params, "run_dir", ""))
        root = next((root for root in (run_dir, ROOT) if path.is_relative_to(root)), path.anchor)
        return path.relative_to(root).as_posix()

    def clear(self) -> None:
        """Remove what another run of this stage wrote."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def finish(self, headline: str, **counts: Any) -> dict[str, Any]:
        """Write the manifest: from here on the stage is complete.

        Parameters
        ----------
        headline : str
            One line for the terminal.
        **counts
            Whatever the stage counted.
        """
        own = ("stage.json", "manifest.json")
        outputs = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name not in own]
        manifest = {
            "stage": self.name,
            "headline": headline,
            "counts": counts,
            "params": self.params.model_dump(exclude=PER_MACHINE),
            "params_hash": digest(self.params.model_dump(exclude=PER_MACHINE)),
            "inputs": {self._name(path): sha256(path) for path in self.inputs},
            "outputs": {str(path.relative_to(self.folder)): sha256(path) for path in outputs},
            "code": git_state(),
            "packages": package_versions(),
            "machine": {"python": platform.python_version(), "system": platform.platform(), "cpu": platform.machine()},
            "seconds": round(time.monotonic() - self.started, 1),
            "peak_memory_mb": peak_memory_mb(),
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        return manifest


def peak_memory_mb() -> float:
    """Largest resident set of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)


def _fingerprint(path: Path) -> str:
    """Content of an input; for another stage's manifest, the content of what that stage wrote."""
    if path.name != "manifest.json":
        return sha256(path)
    return digest(json.loads(path.read_text(encoding="utf-8"))["outputs"])
