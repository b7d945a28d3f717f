"""The base model before it is loaded: where it is, whether it is complete, and its sizes."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import NamedTuple

from ldr_utils import memory
from ldr_utils.errors import InputError
from ldr_utils.hardware import Check
from ldr_utils.paths import ROOT, from_root

HUB_SECONDS = 3.0
RECIPES = {"models/smollm2-135m-instruct": "make it with python -m ldr_utils.smollm2"}  # folders that do not ship


class Model(NamedTuple):
    """The base model as far as it is known without loading it."""

    check: Check
    shape: memory.Shape | None
    to_download: bool


def find_model(name: str) -> Model:
    """The base model in a local folder, in the hub's cache, or on the hub."""
    if trouble := missing_folder(name):
        return Model(Check("base model", "fail", trouble), memory.KNOWN.get(_bare(name)), False)
    try:
        local = from_root(name)
        return _local_model(local) if local.exists() else _hub_model(name)
    except Exception as error:
        return Model(Check("base model", "warn", f"{name}: could not be checked ({error})"), None, False)


def missing_folder(name: str) -> str | None:
    """Why ``name`` can be neither a model folder nor a hub name (which is not looked up here), or None."""
    if from_root(name).exists():
        return None
    if re.fullmatch(r"[\w-]+/[\w.-]+", name) and not (ROOT / name.split("/")[0]).exists():
        return None
    return f"{name} does not exist; {RECIPES.get(name, 'give a model folder or a hub name (owner/name)')}"


def _bare(name: str) -> str:
    """Name without owner: the key of ``memory.KNOWN``."""
    return name.rpartition("/")[2].lower()


def _local_model(folder: Path) -> Model:
    shape, note = _read_shape(folder)
    if gaps := folder_gaps(folder):
        return Model(Check("base model", "fail", f"{folder}: incomplete: {', '.join(gaps)}"), shape, False)
    return Model(Check("base model", "ok", f"{folder}: complete, {note}"), shape, False)


def _hub_model(name: str) -> Model:
    from huggingface_hub import constants, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    shape = memory.KNOWN.get(_bare(name))
    if isinstance(cached, str):
        folder = Path(cached).parent
        shape, note = _read_shape(folder)
        if not folder_gaps(folder):
            return Model(Check("base model", "ok", f"{name}: in the hub's cache, {note}"), shape, False)
    if constants.is_offline_mode():
        trouble: str | None = "not in the hub's cache, and offline mode is set; download it where there is a network"
    else:
        trouble = _ask_hub(name)
    if trouble:
        return Model(Check("base model", "fail", f"{name}: {trouble}"), shape, True)
    return Model(
        Check("base model", "ok", f"{name}: on the hub and open to you; the first stage downloads it"), shape, True
    )


def _ask_hub(name: str) -> str | None:
    """What keeps the model from being downloaded, or None; asked in a thread because DNS knows no timeout."""
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(_hub_trouble(name)), daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    return answers[0] if answers else f"not in the cache, and the hub did not answer within {HUB_SECONDS:.0f} s"


def _hub_trouble(name: str) -> str | None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        HfApi().auth_check(name)
    except GatedRepoError:
        return f"gated; accept its licence at https://huggingface.co/{name} and log in (hf auth login)"
    except RepositoryNotFoundError:
        return "no such model on the hub, or a private one; correct base_model or log in (hf auth login)"
    except Exception as error:
        return f"not in the cache, and the hub cannot be reached ({type(error).__name__}); give a local folder"
    return None


def _read_shape(folder: Path) -> tuple[memory.Shape | None, str]:
    try:
        shape = memory.Shape.from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (InputError, OSError, ValueError) as error:
        return None, f"but without a memory plan ({error})"
    return shape, f"{memory.parameter_count(shape):,} parameters"


def folder_gaps(folder: Path) -> list[str]:
    """What a model folder lacks: config, tokenizer, chat template, or weights (missing or cut short)."""
    gaps = [] if (folder / "config.json").exists() else ["no config.json"]
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        gaps.append("no tokenizer.json")
    settings = folder / "tokenizer_config.json"
    inline = settings.exists() and "chat_template" in json.loads(settings.read_text(encoding="utf-8"))
    if not inline and not (folder / "chat_template.jinja").exists():
        gaps.append("no chat template (use the instruction-tuned version)")
    index = folder / "model.safetensors.index.json"
    shards = {"model.safetensors"}
    if index.exists():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    for shard in sorted(shards):
        if not (folder / shard).exists():
            gaps.append(f"no {shard}")
        elif _is_cut_short(folder / shard):
            gaps.append(f"{shard} is cut short or not safetensors")
    return gaps


def _is_cut_short(path: Path) -> bool:
    """A safetensors file is 8 bytes, a header of the length they give, and the tensors up to the last offset."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            return True
        header = json.loads(file.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    return bool(path.stat().st_size < 8 + length + end)
