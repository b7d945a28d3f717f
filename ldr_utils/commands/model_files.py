"""A model before it is loaded, base model, translator or judge: where it is, whether it is complete, and its sizes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ldr_utils.commands import memory, shapes
from ldr_utils.commands.device import Check
from ldr_utils.policy.load import base_source, cached_folder, missing_folder
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import from_root

Role = Literal["base model", "translator", "judge"]
CONFIG, SETTINGS, INDEX = "config.json", "tokenizer_config.json", "model.safetensors.index.json"
HUB_SECONDS = 3.0
MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)  # a header that is no header


class Model(NamedTuple):
    """A model as far as it is known without loading it; ``seq2seq`` are the sizes of a translator such as NLLB."""

    check: Check
    shape: shapes.Shape | None
    to_download: bool
    seq2seq: shapes.Seq2SeqShape | None = None

    @property
    def published_bytes(self) -> int:
        """What a download takes: chat models are published in bfloat16, NLLB in float32; 0 where sizes are unknown."""
        if self.seq2seq:
            return self.seq2seq.parameters * memory.FLOAT
        return memory.weight_bytes(self.shape, "bfloat16", "none") if self.shape else 0


def translators_of(params: StudyParams) -> dict[str, str]:
    """The models that translate in place of M_t, by the parameter that names them."""
    named = {"translator": params.translator, "translate_prompts": params.translate_prompts}
    return {key: name for key, name in named.items() if name not in ("self", "")}


def find_model(name: str, role: Role = "base model") -> Model:
    """The model in a local folder, in the hub's cache, or on the hub."""
    if trouble := missing_folder(name):
        return Model(Check(role, "fail", trouble), shapes.KNOWN.get(_bare(name)), False)
    try:
        local = from_root(name)
        return _local_model(local, role) if local.exists() else _hub_model(name, role)
    except Exception as error:
        return Model(Check(role, "warn", f"{name}: could not be checked ({error})"), None, False)


def _bare(name: str) -> str:
    """Name without owner and revision: the key of ``shapes.KNOWN`` and ``shapes.KNOWN_SEQ2SEQ``."""
    return name.partition("@")[0].rpartition("/")[2].lower()


def _local_model(folder: Path, role: Role) -> Model:
    shape, seq2seq, note = _read_sizes(folder)
    if gaps := folder_gaps(folder, role):
        return Model(Check(role, "fail", f"{folder}: incomplete: {', '.join(gaps)}"), shape, False, seq2seq)
    return Model(Check(role, "ok", f"{folder}: complete, {note}"), shape, False, seq2seq)


def _hub_model(name: str, role: Role) -> Model:
    from huggingface_hub import constants

    shape, seq2seq = shapes.KNOWN.get(_bare(name)), shapes.KNOWN_SEQ2SEQ.get(_bare(name))
    if folder := cached_folder(name):
        shape, seq2seq, note = _read_sizes(folder)
        if not folder_gaps(folder, role):
            pin = "" if "@" in name else f", at commit {folder.name}: to stay with it, name {name}@{folder.name}"
            return Model(Check(role, "ok", f"{name}: in the hub's cache{pin}, {note}"), shape, False, seq2seq)
    if constants.is_offline_mode():
        trouble: str | None = "not in the hub's cache, and offline mode is set; download it where there is a network"
    else:
        trouble = _ask_hub(base_source(name))
    if trouble:
        return Model(Check(role, "fail", f"{name}: {trouble}"), shape, True, seq2seq)
    found = f"{name}: on the hub and open to you; the first stage that needs it downloads it"
    return Model(Check(role, "ok", found), shape, True, seq2seq)


def shape_of(name: str) -> shapes.Shape | None:
    """Sizes of a model as far as they are on this machine: of a folder, of the hub's cache, or by its name."""
    if missing_folder(name):
        return shapes.KNOWN.get(_bare(name))
    local = from_root(name)
    folder = local if local.exists() else cached_folder(name)
    return _read_sizes(folder)[0] if folder else shapes.KNOWN.get(_bare(name))


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
        return "no such model on the hub, or a private one; correct the name or log in (hf auth login)"
    except Exception as error:
        return f"not in the cache, and the hub cannot be reached ({type(error).__name__}); give a local folder"
    return None


def _read_sizes(folder: Path) -> tuple[shapes.Shape | None, shapes.Seq2SeqShape | None, str]:
    """Sizes by the folder's config, of a decoder or of a translation model, and what to say of them."""
    try:
        config = _read_config(folder)
        if config.get("is_encoder_decoder"):
            seq2seq = shapes.Seq2SeqShape.from_config(config)
            return None, seq2seq, f"{seq2seq.parameters:,} parameters"
        shape = shapes.Shape.from_config(config)
    except (InputError, OSError, ValueError) as error:
        return None, None, f"but without a memory plan ({error})"
    return shape, None, f"{shapes.parameter_count(shape):,} parameters"


def _read_config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def folder_gaps(folder: Path, role: Role) -> list[str]:
    """What a model folder lacks: config, tokenizer, chat template, or weights (missing or cut short).

    A translation model needs no chat template.
    """
    gaps = [] if (folder / "config.json").exists() else ["no config.json"]
    config, settings, index = (_read(folder / name, gaps) for name in (CONFIG, SETTINGS, INDEX))
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        gaps.append("no tokenizer.json")
    chats = role != "translator" or gaps or not config.get("is_encoder_decoder")
    if chats and "chat_template" not in settings and not (folder / "chat_template.jinja").exists():
        gaps.append("no chat template (use the instruction-tuned version)")
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled and not any(folder.glob("*.safetensors")):
        return [*gaps, f"only pickled weights ({pickled[0]}), which can run code when read (convert to safetensors)"]
    shards = index.get("weight_map") or {"": "model.safetensors"}
    for shard in sorted(set(map(str, shards.values()))):
        if not (folder / shard).exists():
            gaps.append(f"no {shard}")
        elif _is_cut_short(folder / shard):
            gaps.append(f"{shard} is cut short or not safetensors")
    return gaps


def _read(path: Path, gaps: list[str]) -> dict[str, Any]:
    """A JSON object of a model folder; empty where it is missing, or broken, which is added to ``gaps``."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        gaps.append(f"{path.name} cannot be read")
        return {}


def safetensors_shapes(path: Path) -> list[tuple[str, list[int]]]:
    """Name and shape of every tensor of a safetensors file, from its header alone.

    Raises
    ------
    InputError
        When the file is none.
    """
    try:
        return [(name, entry["shape"]) for name, entry in _tensors(path)]
    except (OSError, *MALFORMED):
        raise InputError(f"{path}: is cut short or not safetensors; give a complete file") from None


def _tensors(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """A safetensors file is 8 bytes, a header of the length they give, and the tensors up to the last offset."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError
        header = file.read(length)
    tensors = [(name, entry) for name, entry in json.loads(header).items() if name != "__metadata__"]
    end = max((entry["data_offsets"][1] for _, entry in tensors), default=0)
    if path.stat().st_size < 8 + length + end:
        raise ValueError
    return tensors


def _is_cut_short(path: Path) -> bool:
    try:
        _tensors(path)
    except MALFORMED:
        return True
    return False
