"""Generation with vLLM: its engine in this process, one load for all languages and directions of a stage."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

from ldr_utils.policy.generate import Completion, decode, stop_ids
from ldr_utils.policy.gpu import check_reach
from ldr_utils.policy.load import Policy, base_source, choose_dtype, load_tokenizer
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DecodingParams

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

    def __init__(self, policy: Policy, adapter: Path | None, params: DecodingParams, stops: set[int]) -> None:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        self.policy, self.stops = policy, stops
        self.adapter = LoRARequest("adapter", 1, str(adapter)) if adapter else None
        self.sampling = SamplingParams(
            temperature=0.0,
            repetition_penalty=params.repetition_penalty,
            max_tokens=params.max_new_tokens,
            stop_token_ids=sorted(stops),
            detokenize=False,
        )

    @classmethod
    def load(cls, params: DecodingParams, t: int) -> VllmGenerator:
        """Start the engine on M_t.

        Raises
        ------
        InputError
            When M_t has no adapter yet.
        """
        adapter = _adapter(params, t)
        tokenizer = load_tokenizer(params.base_model)
        stops = stop_ids(_generation_config(params.base_model), tokenizer)
        return cls(Policy(start_engine(params, adapter), tokenizer), adapter, params, stops)

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.policy.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        """Complete one unit of prompts.

        Raises
        ------
        InputError
            When a prompt leaves no room for an answer.
        """
        limit, longest = self.policy.model.model_config.max_model_len, max(map(len, prompts), default=0)
        if longest >= limit:
            raise InputError(f"max_model_len: a prompt has {longest} tokens, the model takes {limit}; set it higher")
        tokens = [{"prompt_token_ids": ids} for ids in prompts]
        outputs = self.policy.model.generate(tokens, self.sampling, use_tqdm=False, lora_request=self.adapter)
        return [decode(output.outputs[0].token_ids, self.policy.tokenizer, self.stops) for output in outputs]

    def close(self) -> None:
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self.policy.model.llm_engine.engine_core.shutdown()
        del self.policy
        gc.collect()
        cleanup_dist_env_and_memory()


def start_engine(params: DecodingParams, adapter: Path | None) -> Any:
    """A ``vllm.LLM`` in this process, with room for ``adapter``."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process the schedule, too, is the same on every run
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # it warns of the tokenizer that it is not given
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    import torch
    from transformers import AutoModelForCausalLM
    from vllm import LLM

    check_reach(f"base_model: {params.base_model}", AutoModelForCausalLM, base_source(params.base_model))
    on_gpu = torch.cuda.is_available()
    torch.set_num_threads(params.threads)
    return LLM(
        base_source(params.base_model),
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


def _adapter(params: DecodingParams, t: int) -> Path | None:
    folder = params.adapter(t)
    if folder and not (folder / "adapter_model.safetensors").exists():
        raise InputError(f"{folder}: holds no adapter; run 05_qlora_dpo for this model first")
    return folder


def _generation_config(base_model: str) -> Any:
    """As transformers has it once the model is loaded: from its own file, otherwise from the model's config."""
    from transformers import AutoConfig, GenerationConfig

    source = base_source(base_model)
    try:
        return GenerationConfig.from_pretrained(source)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(source, trust_remote_code=False))
