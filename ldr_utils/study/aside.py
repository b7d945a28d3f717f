"""Work that is being replaced: kept in ``aside/<key>`` of its run folder, at the same place, until the new is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from os.path import normpath
from pathlib import Path

from ldr_utils.study.manifests import ASIDE
from ldr_utils.study.provenance import sha256


def put(root: Path, folder: Path, beside: str) -> str:
    """Set a stage's files aside, its folder in one step.

    A crash in between loses nothing: what has not moved yet is set aside by the next run.

    Parameters
    ----------
    root : Path
        The run folder.
    folder : Path
        The stage's.
    beside : str
        Its output outside of the folder, relative to it; empty where there is none.

    Returns
    -------
    str
        Where they are now, in the run folder.
    """
    here, mark = folder.relative_to(root), folder / "stage.json"
    key = sha256(mark)[:8] if mark.exists() else "unknown"
    base = next(base for base in _numbered(root / ASIDE / key) if not (base / here).exists())
    (base / here).parent.mkdir(parents=True, exist_ok=True)
    if beside and (folder / beside).is_file():
        (folder / beside).replace(base / normpath(here / beside))
    folder.rename(base / here)
    return base.relative_to(root).as_posix()


def kept(root: Path, folder: Path) -> list[Path]:
    """Where a stage's work lies that was set aside."""
    return [path for path in root.glob(f"{ASIDE}/*/{folder.relative_to(root)}") if path.is_dir()]


def bring_back(root: Path, folder: Path, earlier: Path, beside: str) -> str:
    """Put one of `kept` in the place of what is in the folder; returns where it was."""
    if beside and (earlier / beside).is_file():
        (earlier / beside).replace(folder / beside)
    shutil.rmtree(folder)
    earlier.rename(folder)
    _prune(earlier.parent, root)
    return "/".join(earlier.relative_to(root).parts[:2])


def forget(root: Path, folder: Path, beside: str) -> None:
    """Remove all that was set aside of a stage."""
    for earlier in kept(root, folder):
        if beside:
            (earlier / beside).unlink(missing_ok=True)
        shutil.rmtree(earlier, ignore_errors=True)
        _prune(earlier.parent, root)


def _numbered(path: Path) -> Iterator[Path]:
    """``path``, then the same with -2, -3, ... after its name."""
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in count(2))


def _prune(folder: Path, root: Path) -> None:
    """Remove a folder that is empty, and those above it that are then."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
