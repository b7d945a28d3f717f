"""The preference pairs of a run as TRL, ``datasets`` and LLaMA-Factory read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldr_utils.commands import hub
from ldr_utils.commands.export import written_beside
from ldr_utils.commands.model_card import pairs_card
from ldr_utils.commands.preflight import check_empty
from ldr_utils.commands.run_model import check_finished, find
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl, write_jsonl, write_text
from ldr_utils.study.records import Pair


def export_pairs(folder: Path, model: str, arm: str = MAIN, out: Path = Path(), push: str = "") -> str:
    """Write the pairs that M_t was trained on, one file an iteration, in each of the formats.

    ``M1.jsonl``, ... hold conversations, which TRL's trainers take as ``datasets`` loads them. ``llama_factory/`` is a
    ``dataset_dir`` for LLaMA-Factory, in its alpaca format for preferences.

    Parameters
    ----------
    folder, model, arm, out, push
        As for ``export.export``; the repository on the hub is one of data.

    Returns
    -------
    str
        What was written.

    Raises
    ------
    InputError
        When the run lacks the model or its pairs, the folder is not empty, or the hub does not let us in.
    """
    own = find(folder, model, arm)
    if own.t == 0:
        raise InputError("--model M0: was not trained on pairs; choose a later model")
    check_finished(own, *own.pairs())
    check_empty(out)
    if push:
        hub.check_access(push)
    counts: dict[str, int] = {}
    with written_beside(out) as partial:
        described: dict[str, Any] = {}
        for s, place in enumerate(own.pairs(), 1):
            pairs = read_jsonl(own.run.root / place.folder / "train.jsonl", Pair)
            write_jsonl(partial / f"M{s}.jsonl", conversations(pairs, own.study.system_prompt))
            counts[f"M{s}.jsonl"] = len(pairs)
            file, text = f"M{s}.json", json.dumps(alpaca(pairs, own.study.system_prompt), indent=1, ensure_ascii=False)
            write_text(partial / "llama_factory" / file, text + "\n")
            described[f"{own.study.study}_M{s}"] = described_as(file)
        write_text(partial / "llama_factory" / "dataset_info.json", json.dumps(described, indent=1) + "\n")
        write_text(partial / "README.md", pairs_card(own, counts))
    lines = [f"Pairs of {own.name} in {out}: {', '.join(f'{file} {n}' for file, n in counts.items())}"]
    if push:
        lines.append(f"Uploaded: {hub.upload(out, push, 'dataset')} (private; its page makes it public)")
    return "\n".join(lines)


def conversations(pairs: Sequence[Pair], system: str) -> list[dict[str, Any]]:
    """TRL's conversational preference format with an explicit prompt; ``system`` is what the model was told first."""
    opening = [{"role": "system", "content": system}] if system else []
    return [
        {
            "prompt": [*opening, {"role": "user", "content": pair["prompt"]}],
            "chosen": [{"role": "assistant", "content": pair["chosen"]}],
            "rejected": [{"role": "assistant", "content": pair["rejected"]}],
            **{key: pair[key] for key in ("id", "lang", "via")},
        }
        for pair in pairs
    ]


def alpaca(pairs: Sequence[Pair], system: str) -> list[dict[str, str]]:
    """LLaMA-Factory's alpaca format for preferences."""
    same = {"input": "", "system": system}
    return [
        {"instruction": pair["prompt"], "chosen": pair["chosen"], "rejected": pair["rejected"], **same}
        for pair in pairs
    ]


def described_as(file: str) -> dict[str, Any]:
    """An entry of LLaMA-Factory's ``dataset_info.json``."""
    columns = {"prompt": "instruction", "query": "input", "system": "system"}
    columns |= {"chosen": "chosen", "rejected": "rejected"}
    return {"file_name": file, "ranking": True, "columns": columns}
