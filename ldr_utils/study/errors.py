"""The one exception a user is meant to read."""

from __future__ import annotations


class InputError(Exception):
    """Bad input: the message names the culprit (file, key) and the remedy in one line; ``ldr`` exits with 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (a protocol of IPython): the line alone."""
        return [f"InputError: {self}"]
