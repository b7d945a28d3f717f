"""Load a policy: base model, tokenizer and, from M1 on, its LoRA adapter."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import Version

from ldr_utils.policy.gpu import check_reach
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import ModelParams
from ldr_utils.study.paths import ROOT, Run, from_root


@dataclass
class Policy:
    """A model M_t ready for use."""

    model: Any
    tokenizer: Any

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        """Token ids of a chat prompt that ends where the assistant's answer begins.

        The template writes the beginning-of-sequence token where the model has one; tokenising adds no second one.
        ``prefill`` starts the assistant's answer. Text is never a control token: a ``<|im_end|>`` that stands in a
        message does not end its turn.
        """
        mark = _unused("".join(message["content"] for message in messages))
        marked = [m | {"content": self._spelled.sub(rf"{mark}\g<0>{mark}", m["content"])} for m in messages]
        text = self.tokenizer.apply_chat_template(marked, add_generation_prompt=True, tokenize=False) + prefill
        parts = text.split(mark)  # one, or every second one is a control token that a message spells out
        return [token for k, part in enumerate(parts) for token in self._ids(part, plain=k % 2 == 1)]

    def completion_ids(self, completion: str) -> list[int]:
        """Token ids of a completion, closed by the end-of-turn token."""
        return [*self._ids(completion, plain=True), self.tokenizer.eos_token_id]

    @cached_property
    def _spelled(self) -> re.Pattern[str]:
        """Every control token of the tokenizer, as text."""
        known = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        names = sorted(known | set(self.tokenizer.all_special_tokens), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)")

    def _ids(self, text: str, plain: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=plain).input_ids
        return ids


def _unused(text: str) -> str:
    """A private-use character that ``text`` does not have."""
    return next(mark for mark in map(chr, range(0xF0000, 0x10FFFE)) if mark not in text)


def base_source(base_model: str) -> str:
    """A folder of the repository or of the machine when it exists, otherwise a hub name."""
    local = from_root(base_model)
    return str(local) if os.path.exists(local) else base_model


def unloadable(key: str, name: str, error: Exception) -> InputError:
    """What to say when transformers cannot load a model or a tokenizer: the first line of its reason."""
    reason = str(error).strip().split("\n")[0][:200]
    return InputError(f"{key}: {name} cannot be loaded ({reason}); give a complete model folder or a hub name")


def load_weights(kind: Any, key: str, name: str, dtype: str, quantization: Any = None) -> Any:
    """A model of any role on the GPU, where there is one: safetensors alone, and no code of its own.

    Parameters
    ----------
    kind : type
        The class of transformers that loads it.
    key : str
        The parameter that names the model.
    name : str
        Its folder or hub name.
    dtype : str
        See `choose_dtype`.
    quantization : BitsAndBytesConfig, optional
        How its weights are quantised.

    Raises
    ------
    InputError
        When it cannot be loaded.
    """
    import torch
    from safetensors import SafetensorError

    try:
        check_reach(f"{key}: {name}", kind, base_source(name))
        return kind.from_pretrained(
            base_source(name),
            dtype=choose_dtype(dtype),
            device_map={"": 0} if torch.cuda.is_available() else {"": "cpu"},
            quantization_config=quantization,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise unloadable(key, name, error) from None


def load_tokenizer(name: str, key: str = "base_model") -> Any:
    """Tokenizer of a chat model, padding on the left; ``key`` is the parameter that names the model.

    Raises
    ------
    InputError
        When it cannot be loaded, has no chat template or no end-of-turn token.
    """
    from transformers import AutoTokenizer

    source = base_source(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False)
    except Exception as error:  # the Rust tokenizers raise nothing more special
        raise unloadable(key, name, error) from None
    if tokenizer.chat_template is None:
        raise InputError(f"{key}: {name} has no chat template; use the instruction-tuned version")
    if tokenizer.eos_token_id is None:
        raise InputError(f"{key}: {name} has no end-of-sequence token; use the instruction-tuned version")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def choose_dtype(name: str) -> Any:
    """``auto`` is bfloat16 where the device computes in it, float16 on older GPUs, float32 on a CPU."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16


def load_policy(params: ModelParams, t: int, trainable: bool = False) -> Policy:
    """Load M_t of the study.

    Parameters
    ----------
    params : ModelParams
        Which base model, arm and precision.
    t : int
        0 for the base model; above, the adapter of the run folder is put on it.
    trainable : bool
        Whether the adapter will be trained further.

    Raises
    ------
    InputError
        When the base model cannot be loaded, or the adapter is missing or not one of this model.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(params.threads)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=choose_dtype(params.dtype),
    )
    quantization = nf4 if params.quantization == "nf4" else None
    model = load_weights(AutoModelForCausalLM, "base_model", params.base_model, params.dtype, quantization)
    if trainable and params.quantization == "nf4":
        model = _ready_for_qlora(model)  # before the adapter comes, which must not be frozen with the base
    if t > 0:
        model = _with_adapter(model, Run.at(params.run_dir).stage(t, "adapter", params.arm), trainable)
    return Policy(model.train() if trainable else model.eval(), load_tokenizer(params.base_model))


def _ready_for_qlora(model: Any) -> Any:
    """Freeze the base model and cast what NF4 leaves (norms, embeddings, lm head) to float32.

    The hidden states between layers are then float32 too, which float16 needs: some models overflow it.
    """
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # the trainer sees to that


def _with_adapter(model: Any, adapter: Path, trainable: bool) -> Any:
    """``model`` with an adapter on it.

    Layers that the adapter lacks would stay as they are, and those that only it has would be passed over in silence.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    weights = adapter / "adapter_model.safetensors"
    if not weights.exists():
        raise InputError(f"{adapter}: holds no adapter; run 05_qlora_dpo for this model first")
    misfit = InputError(f"{adapter}: is the adapter of another base model; remove it and run 05_qlora_dpo again")
    try:
        policy = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    except (RuntimeError, ValueError) as error:
        if "size mismatch" in str(error) or "arget modules" in str(error):
            raise misfit from None
        raise
    with safe_open(str(weights), "pt") as file:
        if set(file.keys()) != set(get_peft_model_state_dict(policy, save_embedding_layers=False)):
            raise misfit
    return policy


LEAST_TORCHAO = "0.16.0"  # peft/import_utils.py, is_torchao_available


def check_torchao() -> None:
    """Refuse an environment in which PEFT would refuse every adapter on unquantised weights.

    Raises
    ------
    InputError
        When a torchao is there that is too old for it; nothing here needs one.
    """
    try:
        found = metadata.version("torchao")
    except metadata.PackageNotFoundError:
        return
    if Version(found) < Version(LEAST_TORCHAO):
        raise InputError(
            f"torchao {found} is installed, and beside one below {LEAST_TORCHAO} PEFT refuses LoRA;"
            " pip uninstall torchao, or pip install --upgrade torchao"
        )


RECIPES = {
    "models/smollm2-135m-instruct": "make it with python -m ldr_utils.commands.smollm2"
}  # folders that do not ship


def missing_folder(name: str) -> str | None:
    """Why ``name`` can be neither a model folder nor a hub name (which is not looked up here), or None."""
    if os.path.exists(from_root(name)):  # where pathlib raises: a name too long, a folder that may not be read
        return None
    if re.fullmatch(r"[\w-]+/[\w.-]+", name) and not (ROOT / name.split("/")[0]).exists():
        return None
    return f"{name} does not exist; {RECIPES.get(name, 'give a model folder or a hub name (owner/name)')}"
