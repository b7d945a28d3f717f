"""The kernel of a stage: this interpreter's, whatever kernels are installed, and gone as soon as its parent is.

``python -m ldr_utils.commands.kernel -f CONNECTION_FILE ...`` is what a notebook's kernel is started with.
"""

from __future__ import annotations

import os
import sys

from ldr_utils.commands.lifeline import die_with_parent

COMMAND = [sys.executable, "-m", "ldr_utils.commands.kernel", "-f", "{connection_file}"]


def main() -> None:
    """Tie this process to its parent, before anything that takes time, and be a kernel.

    A kernel has a session of its own: no signal meant for its parent reaches it.
    """
    die_with_parent(int(os.environ["JPY_PARENT_PID"]))
    del sys.path[0]  # the notebooks' folder: a file beside them is no module of the kernel's
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
