"""Load a policy: base model, tokenizer and, from M1 on, its LoRA adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldr_utils.errors import InputError
from ldr_utils.params import ModelParams
from ldr_utils.paths import Run, from_root


@dataclass
class Policy:
    """A model M_t ready for use."""

    model: Any
    tokenizer: Any

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        """Token ids of a chat prompt that ends where the assistant's answer begins.

        The template writes the beginning-of-sequence token where the model has one; tokenising adds no second one.
        ``prefill`` starts the assistant's answer.
        """
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self.tokenizer(text + prefill, add_special_tokens=False).input_ids
        return ids

    def completion_ids(self, completion: str) -> list[int]:
        """Token ids of a completion, closed by the end-of-turn token."""
        ids: list[int] = self.tokenizer(completion, add_special_tokens=False).input_ids
        return [*ids, self.tokenizer.eos_token_id]


def base_source(base_model: str) -> str:
    """A folder of the repository or of the machine when it exists, otherwise a hub name."""
    local = from_root(base_model)
    return str(local) if local.exists() else base_model


def load_tokenizer(base_model: str) -> Any:
    """Tokenizer of the base model, padding on the left.

    Raises
    ------
    InputError
        When it has no chat template or no end-of-turn token.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_source(base_model), padding_side="left")
    if tokenizer.chat_template is None:
        raise InputError(f"base_model: {base_model} has no chat template; use the instruction-tuned version")
    if tokenizer.eos_token_id is None:
        raise InputError(f"base_model: {base_model} has no end-of-sequence token; use the instruction-tuned version")
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
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(params.threads)
    dtype = choose_dtype(params.dtype)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base_source(params.base_model),
        dtype=dtype,
        device_map={"": 0} if torch.cuda.is_available() else {"": "cpu"},
        quantization_config=nf4 if params.quantization == "nf4" else None,
        use_safetensors=True,
    )
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
    from peft import PeftModel

    if not (adapter / "adapter_model.safetensors").exists():
        raise InputError(f"{adapter}: holds no adapter; run 05_qlora_dpo for this model first")
    return PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
