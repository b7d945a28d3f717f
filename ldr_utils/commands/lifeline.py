"""No orphans: a process that ends with its parent, even when that is killed and cannot say so."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: nothing may be loaded after a fork


def die_with_parent(parent: int) -> None:
    """Have this process killed as soon as its parent dies.

    Linux only; elsewhere a kernel notices within a second by itself, and what else is left holds the run's lock.

    Parameters
    ----------
    parent : int
        Process id of the parent: it may have died before this call.
    """
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
