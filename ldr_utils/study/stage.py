"""A stage's life: what it starts from, what it leaves behind, and the manifest that says it is complete."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel

from ldr_utils.study import provenance
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.locks import LOCK, lock
from ldr_utils.study.manifests import BESIDE, damaged, fingerprint
from ldr_utils.study.paths import ROOT, from_root
from ldr_utils.study.provenance import digest, sha256

PER_MACHINE = {  # where, how fast and at what price a stage ran, not what it computed
    "run_dir",
    "mt_bench_dir",  # its files are inputs
    "threads",
    "gpu_memory",
    "judge_concurrency",
    "judge_key_env",
    "judge_price_in",
    "judge_price_out",
    "judge_budget",
}
OWN = {"stage.json", "manifest.json", LOCK}  # the files of `Stage` itself
HALF = {".partial", ".tmp"}  # suffixes of files that are being written
HELD: dict[Path, BinaryIO] = {}  # locks of this process: a cell that begins a stage may be run twice
WRITERS = {  # folder of a manifest -> the notebook that writes it, to tell who opens a later one first
    "data": "01_data",
    "responses": "02_generation",
    "translations": "03_translation",
    "pairs": "04_pairs",
    "adapter": "05_qlora_dpo",
    "x_alpacaeval": "06_x_alpacaeval",
    "mgsm": "07_mgsm",
    "tax": "07b_alignment_tax",
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
            When an input is missing, or is not what its stage wrote, or when another process runs the stage.
        """
        for path in inputs:
            _check_input(path)
        _take(folder)
        stage = cls(name, folder, params, inputs)
        key = stage.key()
        mark = folder / "stage.json"
        if _key_of(mark) != key:
            stage.clear()
        (folder / "manifest.json").unlink(missing_ok=True)
        write_text(mark, json.dumps({"name": name, "key": key}) + "\n")
        return stage

    def key(self) -> str:
        """Identity of the work: its code, the parameters that matter, and the content of its inputs."""
        inputs = [fingerprint(path) for path in self.inputs]
        return digest([provenance.engine_hash(self.name), self.params.model_dump(exclude=PER_MACHINE), inputs])

    def _name(self, path: Path) -> str:
        """``path`` relative to the run folder or the repository, whichever holds it."""
        run_dir = from_root(getattr(self.params, "run_dir", ""))
        root = next((root for root in (run_dir, ROOT) if path.is_relative_to(root)), path.anchor)
        return path.relative_to(root).as_posix()

    def clear(self) -> None:
        """Remove what another run of this stage wrote."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.name != LOCK:  # held by this process
                path.rmdir() if path.is_dir() else path.unlink()
        for path in self._beside():
            path.unlink()

    def _beside(self) -> list[Path]:
        """The stage's output outside of its folder, if there is one."""
        path = self.folder / BESIDE.get(self.name, "-")
        return [path] if path.is_file() else []

    def _outputs(self) -> dict[str, str]:
        """Checksums of what the stage wrote, by name; what a crash left half-written is removed."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name not in OWN]
        for path in files:
            if path.suffix in HALF:
                path.unlink()
        found = {path.relative_to(self.folder).as_posix(): path for path in files if path.suffix not in HALF}
        found |= {relpath(path, self.folder): path for path in self._beside()}
        return {name: sha256(path) for name, path in found.items()}

    def finish(self, headline: str, **counts: Any) -> dict[str, Any]:
        """Write the manifest: from here on the stage is complete.

        Parameters
        ----------
        headline : str
            One line for the terminal.
        **counts
            Whatever the stage counted.
        """
        params = self.params.model_dump(exclude=PER_MACHINE)
        manifest = {
            "stage": self.name,
            "headline": headline,
            "counts": counts,
            "params": params,
            "params_hash": digest(params),
            "templates": provenance.template_hashes(),
            "inputs": {self._name(path): fingerprint(path) for path in self.inputs},
            "outputs": self._outputs(),
            "code": provenance.git_state() | {"notebook": provenance.code_hash(self.name)},
            "packages": provenance.package_versions(),
            "machine": provenance.machine(),
            "seconds": round(time.monotonic() - self.started, 1),
            **provenance.peak_memory(),
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        if held := HELD.pop(self.folder, None):
            held.close()
        return manifest


def _key_of(mark: Path) -> str | None:
    """Identity of the work that lies beside ``mark``; None where nothing says what it is."""
    try:
        key: str = json.loads(mark.read_text(encoding="utf-8"))["key"]
        return key
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_input(path: Path) -> None:
    writer = WRITERS.get(path.parent.name, "its stage")
    if not path.exists():
        raise InputError(f"{path}: no such file; run {writer} first")
    if path.name == "manifest.json" and (bad := damaged(path)):
        raise InputError(f"{bad[0]}: missing or changed since it was written; run {writer} again (ldr run does)")


def _take(folder: Path) -> None:
    """Make this process the only writer of a stage's folder, until the stage is finished or the process ends."""
    if folder in HELD:
        return
    try:
        HELD[folder] = lock(folder / LOCK)
    except BlockingIOError:
        raise InputError(f"{folder}: another process runs this stage; wait for it, or shut its kernel down") from None
