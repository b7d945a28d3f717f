"""Generation with vLLM: its engine in this process, one load for all languages and directions of a stage."""

from __future__ import annotations

import gc
import json
import math
import os
from pathlib import Path
from typing import Any

from ldr_utils.policy.generate import Completion, decode, own_decoding
from ldr_utils.policy.gpu import check_reach
from ldr_utils.policy.load import (
    PROBE,
    ModelKey,
    Policy,
    base_source,
    check_effect,
    choose_dtype,
    load_chat,
    load_config,
    not_finite,
    record,
    revision_of,
    settings_of,
)
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import BackendParams

UNIT = 512  # prompts handed to the engine's scheduler at once: minutes of work, which is what a crash may cost
CPU_KV_CACHE = 2 * 2**30  # bytes; on a CPU a share of all memory, vLLM's default, would starve the rest of the machine
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # sizes that vLLM has LoRA buffers for


class VllmGenerator:
    """A vLLM engine that completes token ids greedily.

    Prompts are templated and tokenised by the same code as for transformers, and completions are decoded by the same:
    the engine sees token ids only. It does not load NF4 (vLLM's core has no bitsandbytes): with ``quantization: nf4``
    it generates from the unquantised base model in ``dtype``.
    """

    batch_size = UNIT

    def __init__(
        self, policy: Policy, adapter: Path | None, params: BackendParams, stops: set[int], number: int = 1
    ) -> None:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        self.policy, self.stops = policy, stops
        self.adapter = LoRARequest(f"adapter {number}", number, str(adapter)) if adapter else None
        self.sampling = SamplingParams(
            temperature=0.0,
            repetition_penalty=params.decoding.repetition_penalty,
            max_tokens=params.decoding.max_new_tokens,
            stop_token_ids=sorted(stops),
            detokenize=False,
            logprobs=0 if self.dtype == "float16" else None,  # of the token written: tells of logits that overflowed
        )

    @classmethod
    def load(cls, params: BackendParams, t: int, key: ModelKey = "base_model") -> VllmGenerator:
        """Start the engine on M_t.

        Raises
        ------
        InputError
            When M_t has no adapter yet or one without effect, or the model cannot be spoken to.
        """
        name = getattr(params, key)
        adapter = _adapter(params, t)
        chat = load_chat(name, key, settings_of(params, key))
        stops = set(own_decoding(_generation_config(name), chat).eos_token_id)
        loaded = cls(Policy(start_engine(params, adapter, key), chat), adapter, params, stops)
        record(key, name, params.run_dir, chat)
        loaded.check()
        return loaded

    @property
    def dtype(self) -> str:
        return str(self.policy.model.model_config.dtype).removeprefix("torch.")

    def check(self) -> None:
        """Ask one prompt, with the adapter and without it.

        Raises
        ------
        InputError
            When the logits are not finite, or the adapter does nothing.
        """
        without = self._prompt_logprobs(None)
        if not all(map(math.isfinite, without)):
            raise not_finite(self.policy.chat.where, self.dtype)
        if self.adapter:
            having = self._prompt_logprobs(self.adapter)
            check_effect(Path(self.adapter.lora_path), "vllm", having, without)

    def _prompt_logprobs(self, adapter: Any) -> list[float]:
        """Log-probabilities of a prompt's tokens after the first, and of the one that is written after them."""
        from vllm import SamplingParams

        ids = self.policy.prompt_ids(PROBE)
        asked = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, logprobs=0, detokenize=False)
        (output,) = self.policy.model.generate([{"prompt_token_ids": ids}], asked, use_tqdm=False, lora_request=adapter)
        read = zip(ids[1:], output.prompt_logprobs[1:], strict=True)
        return [found[token].logprob for token, found in read] + [output.outputs[0].cumulative_logprob]

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.policy.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        """Complete one unit of prompts.

        Raises
        ------
        InputError
            When a prompt leaves no room for an answer, or the logits are not finite.
        """
        limit, longest = self.policy.model.model_config.max_model_len, max(map(len, prompts), default=0)
        if longest >= limit:
            raise InputError(f"max_model_len: a prompt has {longest} tokens, the model takes {limit}; set it higher")
        tokens = [{"prompt_token_ids": ids} for ids in prompts]
        outputs = self.policy.model.generate(tokens, self.sampling, use_tqdm=False, lora_request=self.adapter)
        answers = [output.outputs[0] for output in outputs]
        if not all(math.isfinite(answer.cumulative_logprob or 0.0) for answer in answers):
            raise not_finite(self.policy.chat.where, self.dtype)
        return [decode(answer.token_ids, self.policy.tokenizer, self.stops) for answer in answers]

    def close(self) -> None:
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self.policy.model.llm_engine.engine_core.shutdown()
        del self.policy
        gc.collect()
        cleanup_dist_env_and_memory()


def start_engine(params: BackendParams, adapter: Path | None, key: ModelKey = "base_model") -> Any:
    """A ``vllm.LLM`` in this process, with room for ``adapter``."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process the schedule, too, is the same on every run
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # it warns of the tokenizer that it is not given
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    import torch
    from transformers import AutoModelForCausalLM
    from vllm import LLM

    name = getattr(params, key)
    check_reach(f"{key}: {name}", AutoModelForCausalLM, base_source(name), revision_of(name))
    on_gpu = torch.cuda.is_available()
    torch.set_num_threads(params.threads)
    return LLM(
        base_source(name),
        revision=revision_of(name),
        generation_config="vllm",  # none of the model's own: decoding is what the parameters say
        skip_tokenizer_init=True,
        trust_remote_code=False,
        dtype=str(choose_dtype(params.dtype)).removeprefix("torch."),
        seed=params.seed,
        max_model_len=params.max_model_len or None,
        gpu_memory_utilization=params.gpu_memory,
        kv_cache_memory_bytes=None if on_gpu else CPU_KV_CACHE,
        enforce_eager=not on_gpu,  # compiling for a CPU takes longer than it saves
        enable_prefix_caching=False,  # what is cached depends on where a run was resumed, and moves last bits
        load_format="safetensors",
        use_tqdm_on_load=False,
        **_lora_room(adapter),
    )


def _lora_room(adapter: Path | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    rank = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": min(size for size in LORA_RANKS if size >= rank)}


def _adapter(params: BackendParams, t: int) -> Path | None:
    folder = params.adapter(t)
    if folder and not (folder / "adapter_model.safetensors").exists():
        raise InputError(f"{folder}: holds no adapter; run 05_qlora_dpo for this model first")
    return folder


def _generation_config(name: str) -> Any:
    """As transformers has it once the model is loaded: from its own file, otherwise from the model's config."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(base_source(name), revision=revision_of(name))
    except OSError:
        return GenerationConfig.from_model_config(load_config(name))
