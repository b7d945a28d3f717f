"""Verdicts that were paid for, kept by content in one file a study."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import BinaryIO

from ldr_utils.judges.reply import Reply
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import dumps
from ldr_utils.study.locks import hold
from ldr_utils.study.text import visible


class VerdictCache:
    """An append-only JSONL file of replies by key.

    Stages that run side by side share it: every append holds the file's lock and first reads what the others wrote.
    It lies outside the stages' folders, so that a changed parameter or module does not throw away what was paid for.

    Parameters
    ----------
    path : Path
        The file; it is made when the first reply comes.

    Attributes
    ----------
    spent : float
        USD that all replies of the file cost.

    Raises
    ------
    InputError
        When a finished line is not a reply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spent = 0.0
        self._known: dict[str, Reply] = {}
        self._end = 0  # of the last finished line that was read
        if path.exists():
            with path.open("rb") as file:
                hold(file, fcntl.LOCK_SH)
                self._read(file)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Reply:
        return self._known[key]

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; the first one of a key stands.

        A failed question is kept in memory only: it cost nothing, and another run may ask it again.
        """
        if reply.status == "failed":
            self._known.setdefault(key, reply)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        record = {"key": key, "status": reply.status, "weights": reply.weights, "usd": reply.usd}
        line = dumps(record | ({"said": visible(reply.said)} if reply.said else {})) + "\n"
        with self.path.open("a+b") as file:
            hold(file, fcntl.LOCK_EX)
            self._read(file)
            file.truncate(self._end)  # what a crash left unfinished: nobody else is writing
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
            self._read(file)

    def _read(self, file: BinaryIO) -> None:
        """Take in the finished lines after those already read."""
        file.seek(self._end)
        *lines, _ = file.read().split(b"\n")
        for line in lines:
            self._take(line)
            self._end += len(line) + 1

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            reply = Reply(record["status"], record["weights"], record["usd"], str(record.get("said", "")))
            key = record["key"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{self.path}: the line at byte {self._end} is no verdict; remove that line") from None
        self.spent += reply.usd
        self._known.setdefault(key, reply)
