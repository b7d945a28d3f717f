"""What a finished stage wrote, as its manifest says, and whether it is still there unchanged."""

from __future__ import annotations

import json
from os.path import relpath
from pathlib import Path
from typing import Any

from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import force, write_text
from ldr_utils.study.provenance import digest, sha256
from ldr_utils.study.stages import BY_NOTEBOOK

SEAL = "checksums.json"
ASIDE = "aside"  # folder of a run: finished work that is being made again


def read_manifest(path: Path) -> dict[str, Any]:
    """A stage's manifest.

    Raises
    ------
    InputError
        When it is not what a stage writes.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stage = BY_NOTEBOOK.get(manifest["stage"])
        names = manifest["outputs"].keys() - {stage.beside if stage else ""}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not a manifest; ldr run rebuilds what it described") from None
    return manifest


def fingerprint(path: Path) -> str:
    """Content of a file; for a manifest, the content of what its stage wrote, however long that took."""
    return digest(read_manifest(path)["outputs"]) if path.name == "manifest.json" else sha256(path)


def product(path: Path) -> str:
    """Content of what a stage hands on: of the files that decide what later stages make (see `stages.Stage`)."""
    manifest = read_manifest(path)
    stage = BY_NOTEBOOK.get(manifest["stage"])
    names = stage.products if stage and stage.products else manifest["outputs"]
    return digest({name: manifest["outputs"].get(name) for name in names})


def damaged(manifest: Path) -> list[Path]:
    """The files of a finished stage that are missing or not what it wrote; the manifest itself where it is broken."""
    try:
        outputs = read_manifest(manifest)["outputs"]
    except InputError:
        return [manifest]
    files = {manifest.parent / name: checksum for name, checksum in outputs.items()}
    return [path for path, checksum in files.items() if not path.is_file() or sha256(path) != checksum]


def manifests(run_dir: Path) -> list[Path]:
    """The manifests of a run's finished stages, but for those that are set aside."""
    found = sorted(run_dir.rglob("manifest.json"))
    return [path for path in found if path.relative_to(run_dir).parts[0] != ASIDE]


def repair(run_dir: Path) -> list[str]:
    """Remove damaged files and the manifests of their stages, so that those stages run again.

    Returns
    -------
    list of str
        A line for each file.
    """
    lines = []
    for manifest in manifests(run_dir):
        for path in damaged(manifest):
            path.unlink(missing_ok=True)
            manifest.unlink(missing_ok=True)
            place = manifest.parent.relative_to(run_dir)
            lines.append(f"{relpath(path, run_dir)}: missing or changed since it was written; {place} is built again")
    return lines


def seal(folder: Path) -> None:
    """Leave the checksums of a folder's files in it: what a manifest is to a stage, to a checkpoint."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL]
    for path in files:
        force(path)
    write_text(folder / SEAL, json.dumps({path.relative_to(folder).as_posix(): sha256(path) for path in files}) + "\n")


def is_whole(folder: Path) -> bool:
    """Whether a folder was sealed and its files are still what they were then."""
    try:
        checksums: dict[str, str] = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return all(sha256(folder / name) == checksum for name, checksum in checksums.items())
    except (OSError, ValueError, AttributeError):
        return False
