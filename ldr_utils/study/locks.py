"""One writer at a time: locks that the operating system releases when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import BinaryIO

LOCK = ".lock"  # in a folder with one writer at a time: a run's, a stage's
PATIENCE = 3.0  # seconds: a killed run is gone by then


def hold(file: BinaryIO, operation: int) -> None:
    """Lock an open file until it is closed; one on a mount without locks goes unprotected.

    Parameters
    ----------
    file : BinaryIO
        The file.
    operation : int
        As ``fcntl.flock`` takes it.

    Raises
    ------
    BlockingIOError
        When somebody else holds it and ``operation`` does not wait.
    """
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        raise
    except OSError:  # a network mount without locks: better unprotected than not at all
        pass


def lock(path: Path, patience: float = PATIENCE) -> BinaryIO:
    """Lock a file, which is made where there is none.

    Parameters
    ----------
    path : Path
        The lock file. It stays when the lock is released: only the lock means something, never the file.
    patience : float
        Seconds to wait for another holder.

    Returns
    -------
    BinaryIO
        Holds the lock until it is closed here and in every child process it was passed to.

    Raises
    ------
    BlockingIOError
        When somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    deadline = time.monotonic() + patience
    while True:
        try:
            hold(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise
            time.sleep(0.1)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock ``path``; writes nothing."""
    try:
        with path.open("rb") as file:
            hold(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
