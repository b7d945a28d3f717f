"""Where a run stands: every stage of every model from its manifest, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ldr_utils.study.errors import InputError
from ldr_utils.study.locks import LOCK, is_locked
from ldr_utils.study.manifests import damaged, fingerprint, read_manifest
from ldr_utils.study.params import StudyParams, load_params
from ldr_utils.study.paths import ROOT, Run
from ldr_utils.study.provenance import code_hash
from ldr_utils.study.stages import Place, places, values
from ldr_utils.study.text import one_line, terminal_width, wrap

State = Literal["done", "running", "stopped", "stale", "damaged", "missing"]


@dataclass(frozen=True)
class Row:
    """A stage and how it stands; ``note`` is its headline, or what is wrong with it."""

    folder: str
    state: State
    seconds: float | None
    memory: float | None  # MB
    note: str


def look(run: Run, study: StudyParams, place: Place) -> Row:
    """How one stage stands; reads only."""
    folder = run.root / place.folder
    path = folder / "manifest.json"
    if not path.exists():
        if is_locked(folder / LOCK):
            return Row(place.folder, "running", None, None, "")
        if (folder / "stage.json").exists():
            return Row(place.folder, "stopped", None, None, "broke off; continues from what it wrote")
        return Row(place.folder, "missing", None, None, "")
    if bad := damaged(path):
        names = ", ".join(file.name for file in bad)
        return Row(place.folder, "damaged", None, None, f"{names}: missing or changed since written")
    manifest = read_manifest(path)
    reasons = [
        *_changed_params(manifest, study, place),
        *_changed_code(manifest, study, place),
        *_changed_inputs(manifest, run),
    ]
    state: State = "stale" if reasons else "done"
    note = "; ".join(reasons) or str(manifest.get("headline", ""))
    return Row(place.folder, state, manifest.get("seconds"), manifest.get("peak_memory_mb"), note)


def _changed_params(manifest: dict[str, Any], study: StudyParams, place: Place) -> list[str]:
    """Parameters that differ from those the stage ran with; what ``auto`` was settled as does not."""
    then, now = manifest.get("params", {}), values(study, place)
    keys = [key for key in now if key in then and now[key] != then[key] and now[key] != "auto"]
    return [f"{key} {then[key]} -> {now[key]}" for key in keys]


def _changed_code(manifest: dict[str, Any], study: StudyParams, place: Place) -> list[str]:
    now = code_hash(place.stage.notebook, study.all_languages)
    same = manifest.get("code", {}).get("notebook") == now
    return [] if same else [f"code of {place.stage.notebook} changed"]


def _changed_inputs(manifest: dict[str, Any], run: Run) -> list[str]:
    changed = []
    for name, then in manifest.get("inputs", {}).items():
        path = next((path for root in (run.root, ROOT, Path(ROOT.anchor)) if (path := root / name).exists()), None)
        try:
            same = path is not None and fingerprint(path) == then
        except InputError:  # a broken manifest
            same = False
        if not same:
            changed.append(f"{name.removesuffix('/manifest.json')} changed")
    return changed


def status(run_dir: Path) -> str:
    """A run folder's table, and what comes next.

    Parameters
    ----------
    run_dir : Path
        A folder that ``ldr run`` made.

    Raises
    ------
    InputError
        When it is not one.
    """
    run = Run(run_dir.resolve())
    if not run.params.exists():
        raise InputError(f"{run_dir}: no run folder (no params.yaml); give a folder that ldr run made")
    study = load_params(run.params)
    rows = [look(run, study, place) for place in places(study)]
    columns = terminal_width()
    lines = [*_table(rows), "", _next(rows, run, run_dir)]
    if columns >= 80:  # a table; its last column may be as long as it is
        return "\n".join(lines)
    short = (" ".join(line.split()) for line in lines)
    return "\n".join(part for line in short for part in wrap(line, columns, indent="    ") or [""])


def _table(rows: list[Row]) -> list[str]:
    cells = [("stage", "state", "time", "memory", "")]
    for row in rows:
        time = "" if row.seconds is None else f"{row.seconds:,.0f} s"
        memory = "" if row.memory is None else f"{row.memory:,.0f} MB"
        cells.append((row.folder, row.state, time, memory, one_line(row.note)))
    a, b, c, d = (max(len(line[column]) for line in cells) for column in range(4))
    return [f"{s:{a}}  {t:{b}}  {u:>{c}}  {v:>{d}}  {w}".rstrip() for s, t, u, v, w in cells]


def _next(rows: list[Row], run: Run, given: Path) -> str:
    if is_locked(run.root / LOCK):
        return "A run is active."
    todo = [row.folder for row in rows if row.state != "done"]
    if not todo:
        return f"Complete: {given / 'report' / 'index.html'}"
    return f"Next: {todo[0]} ({len(todo)} of {len(rows)} stages to do): ldr run {given / 'params.yaml'} --out {given}"
