"""What the files of a run hold: one type a kind of record."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
DataSet = dict[str, list[Record]]  # by language
Exchange = tuple[str, str]  # (user, assistant)
