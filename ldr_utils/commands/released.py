"""A model that somebody trained: a folder, a name on the hub, or a base model with a LoRA adapter on it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldr_utils.commands.model_files import folder_gaps, safetensors_shapes
from ldr_utils.policy.load import cached_folder, missing_folder
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import from_root
from ldr_utils.study.provenance import digest, sha256

NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Released:
    """A model to evaluate.

    Attributes
    ----------
    name : str
        In tables, and of its folder.
    source : str
        What was asked for.
    base : str
        Folder or hub name of the model, or of what the adapter is put on; a hub name with its commit.
    weights : str
        What they are: the commit of a hub's repository, or a checksum of a folder's files; the base's first.
    adapter : str
        Folder of the adapter; empty for none.
    """

    name: str
    source: str
    base: str
    weights: str
    adapter: str


def find_models(texts: Sequence[str]) -> list[Released]:
    """Find every model, and look whether it is complete; only what says what an adapter is of is downloaded.

    Parameters
    ----------
    texts : sequence of str
        ``MODEL`` or ``NAME=MODEL``; a model is a folder, a hub name, or ``BASE+ADAPTER`` of either. A model that has an
        ``adapter_config.json`` is an adapter on the base which that names.

    Raises
    ------
    InputError
        When one cannot be found, lacks something or does not fit, or two have one name.
    """
    if not texts:
        raise InputError("evaluate: no model is named; give some, or a params file that lists models")
    names = [_name(text) for text in texts]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{twice[0]}: two models are called so; name them, as in {twice[0]}-2=MODEL")
    return [_find(name, text) for name, text in zip(names, texts, strict=True)]


def _name(text: str) -> str:
    """The name that was given; otherwise the last folder of the path, M1 of ``runs/x/M1/adapter``."""
    given, equals, _ = text.partition("=")
    if equals and NAME.fullmatch(given):
        return given
    parts = re.split(r"[/+@]", text.rstrip("/").removesuffix("/adapter").partition("@")[0])
    return re.sub(r"[^\w.-]", "-", parts[-1], flags=re.ASCII).lstrip("-._") or "model"


def _find(name: str, text: str) -> Released:
    given, equals, rest = text.partition("=")
    source = rest if equals and NAME.fullmatch(given) else text
    base, plus, adapter = source.partition("+")
    if os.path.exists(from_root(source)):  # a folder may have a plus in its name
        base, plus, adapter = source, "", ""
    if not base or (plus and not adapter):
        raise InputError(f"{text}: names no model; write it as NAME=MODEL or BASE+ADAPTER")
    own = _adapter_in(base)
    if plus and own:
        raise InputError(f"{base}: is itself an adapter; give its base model before the +")
    if plus:
        own = _adapter_in(adapter)
        if own is None:
            raise InputError(f"{adapter}: holds no LoRA adapter ({SETTINGS}); give a folder or hub name that does")
    elif own:
        base = _base_of(own, base)
    if own is None:
        return Released(name, source, *_pinned(base), "")
    base, weights = _pinned(base)
    return Released(name, source, base, f"{weights}+{_check_adapter(own, base)}", str(own))


def _adapter_in(name: str) -> Path | None:
    """The folder of an adapter, downloaded where it is on the hub; None where ``name`` is no adapter."""
    local = from_root(name)
    if os.path.exists(local):
        return local if (local / SETTINGS).exists() else None
    if trouble := missing_folder(name.partition("@")[0]):
        raise InputError(trouble)
    settings = _hub_file(name, SETTINGS)
    if settings is None:
        return None
    if _hub_file(name, WEIGHTS) is None:
        raise InputError(f"{name}: has no {WEIGHTS} (pickled weights can run code when read); ask for safetensors")
    return settings.parent


def _hub_file(name: str, file: str) -> Path | None:
    """A file of a repository of the hub, downloaded where it is not in the cache; None where there is none.

    Raises
    ------
    InputError
        When the hub cannot say.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    try:
        return Path(hf_hub_download(repository, file, revision=revision or None))
    except GatedRepoError:
        trouble = f"is gated; accept its licence at https://huggingface.co/{repository} and log in (hf auth login)"
    except RevisionNotFoundError:
        trouble = f"has no revision {revision}; correct it"
    except RepositoryNotFoundError:
        trouble = "is no model of the hub, or a private one; correct the name or log in (hf auth login)"
    except LocalEntryNotFoundError:
        if file == SETTINGS and cached_folder(name):
            return None  # a whole model that was downloaded before
        trouble = "is not in the hub's cache, and the hub cannot be reached; download it where there is a network"
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, ValueError) as error:
        trouble = f"cannot be had from the hub ({str(error).strip().splitlines()[0][:200]}); give a folder"
    raise InputError(f"{name}: {trouble}")


def _base_of(adapter: Path, name: str) -> str:
    """The base model that an adapter names."""
    base = _settings(adapter).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(f"{name}: is an adapter that names no base model; write BASE+{name}")
    if missing_folder(base.partition("@")[0]):
        raise InputError(f"{name}: is an adapter on {base}, which does not exist here; write BASE+{name}")
    return base


def _settings(adapter: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((adapter / SETTINGS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise InputError(f"{adapter / SETTINGS}: cannot be read as JSON; give a complete adapter") from None


def _pinned(name: str) -> tuple[str, str]:
    """A base model's name, with its commit where it is on the hub, and what its weights are.

    Raises
    ------
    InputError
        When it is not complete, as far as can be seen from here.
    """
    folder = from_root(name)
    if not os.path.exists(folder):
        config = _hub_file(name, "config.json")
        if config is None:
            raise InputError(f"{name}: has no config.json; give the hub name of a whole model")
        commit = config.parent.name
        return f"{name.partition('@')[0]}@{commit}", commit
    if gaps := folder_gaps(folder, "base model"):
        raise InputError(f"{name}: {', '.join(gaps)}; complete the folder, or give another")
    return name, checksum(folder)


def _check_adapter(folder: Path, base: str) -> str:
    """What the weights of an adapter are, once it is clear that they are there and made for the base model."""
    if not (folder / WEIGHTS).exists():
        raise InputError(f"{folder}: has no {WEIGHTS} (pickled weights can run code when read); ask for safetensors")
    if _settings(folder).get("peft_type", "LORA") != "LORA":
        raise InputError(f"{folder}: is no LoRA adapter; merge it into its base model and give the whole model")
    if (local := from_root(base)).exists() and not _fits(folder, local):
        raise InputError(f"{folder}: is the adapter of another base model than {base}; name the right one")
    return folder.name if folder.parent.name == "snapshots" else checksum(folder)


def _fits(adapter: Path, base: Path) -> bool:
    """Whether an adapter's matrices have the widths of the base model's layers, as far as their names agree.

    Layers that the base model lacks show when they are loaded, too: only what is numbered tells another depth here.
    """
    layers = {name: shape for path in sorted(base.glob("*.safetensors")) for name, shape in safetensors_shapes(path)}
    for name, shape in safetensors_shapes(adapter / WEIGHTS):
        layer, side, _ = name.removeprefix("base_model.model.").partition(".lora_")
        if not side or not name.endswith("weight") or _settings(adapter).get("fan_in_fan_out"):
            continue
        whole, inner = layers.get(f"{layer}.weight"), int(name.endswith("lora_A.weight"))
        if whole is None:
            same_names = any(known.startswith(layer.split(".layers.")[0]) for known in layers)
            if ".layers." in layer and same_names:
                return False
        elif shape[inner] != whole[inner]:
            return False
    return True


def checksum(folder: Path) -> str:
    """Short checksum of all that decides what a model folder answers: weights, settings, tokenizer, template."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".json", ".jinja", ".model")]
    return digest({path.name: sha256(path) for path in files if path.name not in ("manifest.json", "stage.json")})
