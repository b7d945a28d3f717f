"""Progress that reaches a person: a tqdm bar in a notebook, plain lines on the terminal of a batch run."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 10.0


def track(items: Iterable[T], what: str, total: int, initial: int = 0) -> Iterator[T]:
    """Yield ``items`` and report progress.

    A batch run sets ``LDR_TERMINAL`` to the driver's error stream and ``LDR_STAGE`` to the stage's name: a line at
    most every ten seconds goes there, so that parallel stages never overwrite each other and executed notebooks stay
    clean. Anywhere else, tqdm draws its bar.
    """
    terminal = os.environ.get("LDR_TERMINAL")
    if terminal is None:
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, initial=initial)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, initial):
        now = time.monotonic()
        if now - last > EVERY_SECONDS:
            last = now
            left = (now - started) / max(done - initial, 1) * (total - done)
            _line(terminal, f"{os.environ.get('LDR_STAGE', '')} {what} {_bar(done / total)} about {left:.0f} s left")
        yield item


def _bar(share: float, width: int = 20) -> str:
    full = round(share * width)
    return f"[{'#' * full}{'.' * (width - full)}] {share:4.0%}"


def _line(terminal: str, text: str) -> None:
    try:
        with open(terminal, "a", encoding="utf-8") as stream:
            stream.write(text.strip() + "\n")
    except OSError:  # the driver is gone or the platform has no such file: progress is a courtesy, not a duty
        pass


def say(text: str) -> None:
    """A line for whoever runs the stage: in the notebook and, in a batch run, on the driver's terminal too."""
    print(text)
    if terminal := os.environ.get("LDR_TERMINAL"):
        _line(terminal, f"{os.environ.get('LDR_STAGE', '')} {text}")


@contextmanager
def as_in_a_batch_run(stage: str) -> Iterator[None]:
    """For a command that does the work of a stage itself: its lines go to the error stream, under a name.

    What a notebook would show beside them is not shown, so that the output is the command's own.
    """
    before = {name: os.environ.get(name) for name in ("LDR_STAGE", "LDR_TERMINAL")}
    os.environ.update(LDR_STAGE=f"[{stage}]", LDR_TERMINAL="/dev/stderr")
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
