"""Read the prompt sets and test sets that 01 wrote.

Every stage of a model reads them: what draws, downloads and checks them is ``ldr_utils.drawing``, so that a changed
loader leaves the later stages alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ldr_utils.paths import Run
from ldr_utils.records import DataSet, read_jsonl


def languages_of(run: Run, name: str, languages: Sequence[str]) -> list[str]:
    """Those of ``languages`` that a written set has, as the data's manifest counted them."""
    manifest = json.loads((run.data / "manifest.json").read_text(encoding="utf-8"))
    return [lang for lang in languages if lang in manifest["counts"]["languages"][name]]


def read_set(run: Run, name: str, languages: Sequence[str]) -> DataSet:
    """Read one set back."""
    return {lang: read_jsonl(run.data / name / f"{lang}.jsonl") for lang in languages}


def referenced(by_language: DataSet) -> DataSet:
    """The languages whose records have reference answers."""
    return {lang: records for lang, records in by_language.items() if "reference" in records[0]}
