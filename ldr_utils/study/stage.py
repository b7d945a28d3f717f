"""A stage's life: what it starts from, what it leaves behind, and the manifest that says it is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from ldr_utils.study import aside, provenance
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.locks import LOCK, lock
from ldr_utils.study.manifests import damaged, fingerprint, product
from ldr_utils.study.params import (
    ArmParams,
    Common,
    ReportParams,
    from_notebook,
    kept_params,
    load_params,
    machine_params,
)
from ldr_utils.study.paths import ROOT, Run
from ldr_utils.study.progress import say
from ldr_utils.study.provenance import digest, sha256
from ldr_utils.study.stages import BY_FOLDER, BY_NOTEBOOK, Place, Stage, inputs, place

OWN = {"stage.json", "manifest.json", LOCK}  # files of `StageRun` itself
HALF = {".partial", ".tmp"}  # suffixes of files that are being written
HELD: dict[Path, BinaryIO] = {}  # locks of this process: a cell that begins a stage may be run twice
P = TypeVar("P", bound=Common)


@dataclass
class StageRun(Generic[P]):
    """One notebook's work at one place of a study.

    Attributes
    ----------
    stage : Stage
        The row of the table of stages.
    folder : Path
        Where it writes; ``manifest.json`` in it is written last.
    params : Common
        The validated parameters.
    inputs : list of Path
        Files that it reads: manifests of other stages, and files from outside of the run.
    label : str
        The model, for names of figures: ``M1``, or ``M1_sft``.
    """

    stage: Stage
    folder: Path
    params: P
    inputs: list[Path]
    label: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def run(self) -> Run:
        return Run.at(self.params.run_dir)

    def begin(self) -> None:
        """Start the work. What an earlier run of the same work left is kept.

        Work that is not the same is set aside where it cost a model's time, and otherwise removed.

        Raises
        ------
        InputError
            When an input is missing, or is not what its stage wrote, or when another process runs the stage.
        """
        for path in self.inputs:
            _check_input(path)
        _take(self.folder)
        mark = self.identity()
        changes = differences(read_mark(self.folder), mark, self.params)
        if changes:
            self._replace(changes, mark)
        (self.folder / "manifest.json").unlink(missing_ok=True)
        write_text(self.folder / "stage.json", json.dumps(mark) + "\n")

    def identity(self) -> dict[str, Any]:
        """What the kept work is: its code, the values of the parameters that decide it, the content it is made from.

        Prompts and texts to translate are not in it: every file of answers knows its own (``policy.generate``).
        """
        values = self.params.model_dump(include=kept_params(type(self.params)))
        made_from = [path for path in self.inputs if path.name == "manifest.json" and self._decides(path)]
        return {
            "stage": self.stage.notebook,
            "version": self.stage.version,
            "code": provenance.engine_hash(self.stage.notebook),
            "params": values,
            "inputs": {self._name(path): product(path) for path in made_from},
        }

    def _decides(self, path: Path) -> bool:
        """Whether the content of an input decides what is kept."""
        giver = BY_FOLDER.get(path.parent.name)
        return not self.stage.costly or (giver is not None and bool(giver.products))

    def _name(self, path: Path) -> str:
        """``path`` relative to the run folder or the repository, whichever holds it."""
        roots = (self.run.root, ROOT)
        root = next((root for root in roots if path.is_relative_to(root)), path.anchor)
        return path.relative_to(root).as_posix()

    def _replace(self, changes: list[str], mark: dict[str, Any]) -> None:
        """Make room for other work, or bring back the same work from where it was set aside."""
        if not self.stage.costly:
            self._clear()
            return
        root = self.run.root
        same = [path for path in aside.kept(root, self.folder) if not differences(read_mark(path), mark, self.params)]
        if self._work():
            with _released(self.folder):
                where = aside.put(root, self.folder, self.stage.beside)
            say(f"made again: {'; '.join(changes)}. What was there is kept in {where} until that is done")
        self._clear()
        if same:
            with _released(self.folder):
                where = aside.bring_back(root, self.folder, same[0], self.stage.beside)
            say(f"goes on with the same work, which was kept in {where}")

    def _work(self) -> list[Path]:
        """Files in the folder that are not `StageRun`'s own."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name not in OWN]

    def _beside(self) -> list[Path]:
        """The stage's output outside of its folder, if there is one."""
        path = self.folder / (self.stage.beside or "-")
        return [path] if path.is_file() else []

    def _clear(self) -> None:
        """Remove what another run of this stage wrote."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.name != LOCK:  # held by this process
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()
        for path in self._beside():
            path.unlink()

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
        """Write the manifest: from here on the stage is complete, and what it replaced is removed.

        Parameters
        ----------
        headline : str
            One line for the terminal.
        **counts
            Whatever the stage counted.
        """
        params = self.params.model_dump(exclude=machine_params(type(self.params)))
        code = provenance.code_hash(self.stage.notebook, self.params.all_languages)
        manifest = {
            "stage": self.stage.notebook,
            "headline": headline,
            "counts": counts,
            "params": params,
            "params_hash": digest(params),
            "templates": provenance.template_hashes(),
            "inputs": {self._name(path): fingerprint(path) for path in self.inputs},
            "outputs": self._outputs(),
            "code": provenance.git_state() | {"notebook": code},
            **provenance.LOADED,
            "packages": provenance.package_versions(),
            "machine": provenance.machine(),
            "seconds": round(time.monotonic() - self.started, 1),
            **provenance.peak_memory(),
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        if self.stage.costly:
            aside.forget(self.run.root, self.folder, self.stage.beside)
        if held := HELD.pop(self.folder, None):
            held.close()
        return manifest


def open_stage(
    notebook: str,
    namespace: dict[str, Any],
    settle: Callable[[Any], Any] = lambda params: params,
    files: Callable[[Any], Iterable[Path]] = lambda params: (),
) -> StageRun[Any]:
    """Begin the work of a notebook: the opening call of each.

    Parameters
    ----------
    notebook : str
        Its name.
    namespace : dict
        ``globals()`` of the notebook, with its parameters.
    settle : function of the parameters
        Replaces ``auto`` by what it means on this machine: the work is identified by what comes back.
    files : function of the parameters
        Files from outside of the run that the stage reads.

    Raises
    ------
    InputError
        When a parameter is bad, or as `StageRun.begin`.
    """
    stage = BY_NOTEBOOK[notebook]
    params = settle(from_notebook(stage.schema, namespace))
    run = Run.at(params.run_dir)
    here = place(stage.name, params.t, params.arm) if isinstance(params, ArmParams) else Place(stage)
    if isinstance(params, ReportParams):  # of several runs: of each, all that its own study has
        sources = [Run.at(folder) for folder in params.runs] or [run]
        read = [one.root / of.manifest for one in sources for of in inputs(load_params(one.params), here)]
    else:
        read = [run.root / of.manifest for of in here.reads(params)]
    opened = StageRun(stage, run.root / here.folder, params, [*read, *files(params)], here.label)
    opened.begin()
    return opened


def differences(then: dict[str, Any] | None, now: dict[str, Any], params: Common) -> list[str]:
    """Why the work that lies at a place is not the work that is asked for; nothing where it is.

    A parameter that came since is no difference at its default, which is what the earlier work was done with.

    Parameters
    ----------
    then : dict or None
        Its mark (see `StageRun.identity`), None where nothing says what it is.
    now : dict
        The mark of what is asked for.
    params : Common
        The parameters of what is asked for.
    """
    if then is None:
        return ["nothing says what it was made from"]
    found = [name for name in ("stage", "version") if then[name] != now[name]]
    if then["code"] != now["code"]:
        found.append(f"the code of {now['stage']} changed")
    fields = type(params).model_fields
    for key, value in now["params"].items():
        before = then["params"].get(key, fields[key].default)
        if before != value:
            found.append(f"{key} {before} -> {value}")
    found += [f"{key} is no parameter any more" for key in then["params"].keys() - now["params"].keys()]
    names = then["inputs"].keys() | now["inputs"].keys()
    changed = sorted(name for name in names if then["inputs"].get(name) != now["inputs"].get(name))
    return found + [f"{name.removesuffix('/manifest.json')} changed" for name in changed]


def read_mark(folder: Path) -> dict[str, Any] | None:
    """What the work in a folder is; None where nothing says so."""
    try:
        mark: dict[str, Any] = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
        if all(isinstance(mark[key], kind) for key, kind in (("params", dict), ("inputs", dict), ("code", str))):
            return mark | {"stage": mark["stage"], "version": mark["version"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _check_input(path: Path) -> None:
    giver = BY_FOLDER.get(path.parent.name)
    writer = giver.notebook if giver else "its stage"
    if not path.exists():
        raise InputError(f"{path}: no such file; run {writer} first, or ldr run, which runs what is missing")
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


@contextmanager
def _released(folder: Path) -> Iterator[None]:
    """Let go of a stage's lock while its folder is moved, and take that of the folder which is there then."""
    if held := HELD.pop(folder, None):
        held.close()
    try:
        yield
    finally:
        _take(folder)
