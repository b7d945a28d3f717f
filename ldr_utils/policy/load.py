"""Load a policy: base model, tokenizer and, from M1 on, its LoRA adapter."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from ldr_utils.policy.chat import MOMENT, PLAIN, Chat, Message, Settings, read_chat
from ldr_utils.policy.generate import own_decoding
from ldr_utils.policy.gpu import check_reach
from ldr_utils.study.errors import InputError
from ldr_utils.study.manifests import manifests, read_manifest
from ldr_utils.study.params import ModelParams
from ldr_utils.study.paths import ROOT, Run, from_root
from ldr_utils.study.progress import say
from ldr_utils.study.provenance import LOADED

# Parameters that name a model.
ModelKey = Literal["base_model", "translator", "translate_prompts", "judge_model", "second_judge_model"]


@dataclass
class Policy:
    """A model M_t ready for use."""

    model: Any
    chat: Chat

    @property
    def tokenizer(self) -> Any:
        return self.chat.tokenizer

    def prompt_ids(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """As `Chat.prompt_ids`."""
        return self.chat.prompt_ids(messages, prefill)

    def completion_ids(self, completion: str) -> list[int]:
        """As `Chat.completion_ids`."""
        return self.chat.completion_ids(completion)


def base_source(name: str) -> str:
    """A folder of the repository or of the machine when it exists, otherwise a hub name, without its revision."""
    local = from_root(name)
    return str(local) if os.path.exists(local) else name.partition("@")[0]


def revision_of(name: str) -> str:
    """The commit, tag or branch that a name asks for (``owner/name@v1.0``); a folder has no other than its own."""
    return name.partition("@")[2] or "main" if not os.path.exists(from_root(name)) else "main"


def cached_folder(name: str, *files: str) -> Path | None:
    """Where the hub's cache has a model's ``files`` (its config, where none is named); None where one is missing."""
    from huggingface_hub import try_to_load_from_cache

    asked = files or ("config.json",)
    found = [try_to_load_from_cache(base_source(name), file, revision=revision_of(name)) for file in asked]
    return Path(str(found[0])).parent if all(isinstance(path, str) for path in found) else None


def commit_of(name: str) -> str | None:
    """The commit of a hub model that was loaded, as the hub's cache has it; None for a folder."""
    folder = None if os.path.exists(from_root(name)) else cached_folder(name)
    return folder.name if folder else None


def load_config(name: str, key: str = "base_model") -> Any:
    """A model's config.

    Raises
    ------
    InputError
        When it cannot be loaded; ``key`` is the parameter that names the model.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(base_source(name), revision=revision_of(name), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise unloadable(key, name, error) from None


def record(key: str, name: str, run_dir: str, chat: Chat) -> None:
    """Note for the stage's manifest which commit of a model was loaded and how it is spoken to.

    Raises
    ------
    InputError
        When an earlier stage of the run had another commit of the same name.
    """
    here = commit_of(name)
    for path in manifests(Run.at(run_dir).root) if here else []:
        manifest = read_manifest(path)
        there = manifest.get("models", {}).get(key)
        if there not in (None, here) and manifest["params"].get(key) == name:
            now = f"{name} is now at {here}, {manifest['stage']} of this run had {there}"
            raise InputError(f"{key}: {now}; pin it: {key}: {base_source(name)}@{there}")
    if here:
        LOADED["models"][key] = here
    LOADED["chat"][key] = {
        "end_of_turn": chat.tokenizer.convert_ids_to_tokens(chat.end),
        "pad": chat.tokenizer.pad_token,
        "told_the_time": MOMENT.isoformat() if chat.dated else None,
    }


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
        check_reach(f"{key}: {name}", kind, base_source(name), revision_of(name))
        model = kind.from_pretrained(
            base_source(name),
            revision=revision_of(name),
            dtype=choose_dtype(dtype),
            device_map={"": 0} if torch.cuda.is_available() else {"": "cpu"},
            quantization_config=quantization,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise unloadable(key, name, error) from None
    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")  # Gemma 2: torch's fused attention leaves the cap out, in silence
    return model


def load_tokenizer(name: str, key: str = "base_model") -> Any:
    """Tokenizer of a chat model, padding on the left; ``key`` is the parameter that names the model.

    What pads where the tokenizer names nothing: the unknown token, as Llama 2's users do, or one that is reserved;
    where there is only the end of turn, that. No pad is attended to, trained on or counted by the repetition penalty.

    Raises
    ------
    InputError
        When it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            base_source(name), revision=revision_of(name), padding_side="left", trust_remote_code=False
        )
    except Exception as error:  # the Rust tokenizers raise nothing more special
        raise unloadable(key, name, error) from None
    if tokenizer.pad_token_id is None:
        control = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        reserved = [token for token in control if re.search("pad|reserved|unused", token, re.IGNORECASE)]
        tokenizer.pad_token = next((own for own in (tokenizer.unk_token, *reserved) if own), tokenizer.eos_token)
    return tokenizer


def load_chat(name: str, key: str = "base_model", settings: Settings = PLAIN) -> Chat:
    """How a model is spoken to: its tokenizer and what its chat template makes of a conversation.

    Raises
    ------
    InputError
        When the tokenizer or the model's config cannot be loaded, and as `chat.read_chat`.
    """
    tokenizer = load_tokenizer(name, key)
    return read_chat(tokenizer, settings, f"{key}: {name}", load_config(name, key).get_text_config().vocab_size)


def settings_of(params: ModelParams, key: str) -> Settings:
    """What a model of the study is told: M_t what the parameters say, any other nothing but to answer at once."""
    return Settings.of(params) if key == "base_model" else PLAIN


def choose_dtype(name: str) -> Any:
    """``auto`` is bfloat16 where the device computes in it, float16 on older GPUs, float32 on a CPU."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16


def load_policy(params: ModelParams, t: int, trainable: bool = False, key: ModelKey = "base_model") -> Policy:
    """Load M_t of the study, or another chat model that it names.

    Parameters
    ----------
    params : ModelParams
        Which base model, arm and precision.
    t : int
        0 for the base model; above, the adapter of the run folder is put on it.
    trainable : bool
        Whether the adapter will be trained further.
    key : str
        The parameter that names the model.

    Raises
    ------
    InputError
        When the model cannot be loaded or spoken to, or the adapter is missing, not one of this model, or without
        effect.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(params.threads)
    name = getattr(params, key)
    chat = load_chat(name, key, settings_of(params, key))  # before the weights, which take longer
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=choose_dtype(params.dtype),
    )
    quantization = nf4 if params.quantization == "nf4" else None
    model = load_weights(AutoModelForCausalLM, key, name, params.dtype, quantization)
    model.generation_config = own_decoding(model.generation_config, chat)
    record(key, name, params.run_dir, chat)
    if trainable and params.quantization == "nf4":
        model = _ready_for_qlora(model)  # before the adapter comes, which must not be frozen with the base
    adapter = params.adapter(t)
    if adapter:
        model = _with_adapter(model, adapter, trainable)
    model.train(trainable)
    if adapter:  # not before: in evaluation bitsandbytes packs NF4 weights on a CPU, for good
        check_effect(adapter, "transformers", *_with_and_without(model, chat))
    return Policy(model, chat)


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


def _with_and_without(model: Any, chat: Chat) -> tuple[list[float], list[float]]:
    """The log-probabilities of a prompt's tokens with the adapter that ``model`` has, and without it."""
    import torch

    ids = torch.tensor([chat.prompt_ids(PROBE)], device=model.device)

    def logprobs() -> list[float]:
        with torch.inference_mode():
            found = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
        return [float(value) for value in found.gather(1, ids[0, 1:, None]).flatten()]

    with model.disable_adapter():
        without = logprobs()
    return logprobs(), without


def not_finite(where: str, dtype: str) -> InputError:
    """What to say when a model's logits are no numbers, in the precision ``dtype``."""
    narrow = dtype.endswith("float16") and not dtype.endswith("bfloat16")
    remedy = (
        "set dtype to float32, or to bfloat16 on a GPU that has it" if narrow else "its weights are broken: get anew"
    )
    return InputError(f"{where}: its logits are not finite in {dtype.removeprefix('torch.')}; {remedy}")


def check_effect(adapter: Path, engine: str, having: list[float], without: list[float]) -> None:
    """See to it that an adapter does something: an engine passes over layers that it knows by other names.

    Parameters
    ----------
    adapter : Path
        Its folder.
    engine : str
        What answers with it.
    having, without : list of float
        Log-probabilities of a prompt's tokens with the adapter and without it.

    Raises
    ------
    InputError
        When they are the same although the adapter is not zero.
    """
    from safetensors import safe_open

    if having != without:
        return
    with safe_open(str(adapter / "adapter_model.safetensors"), "pt") as file:
        zero = not any(file.get_tensor(name).any() for name in file.keys() if "lora_B" in name)  # noqa: SIM118
    if zero:
        say(f"{adapter}: all of its weights are zero: its model is the one that it was put on")
        return
    other = "vllm" if engine == "transformers" else "transformers"
    raise InputError(f"{adapter}: changes nothing in {engine}, which ignores its layers; set backend to {other}")


PROBE = [{"role": "user", "content": "What is 17 + 25? Answer in a short sentence, then say it in German and in Thai."}]
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
    if re.fullmatch(r"[\w-]+/[\w.-]+(@[\w./-]+)?", name) and not (ROOT / name.split("/")[0]).exists():
        return None
    return f"{name} does not exist; {RECIPES.get(name, 'give a model folder or a hub name (owner/name)')}"
