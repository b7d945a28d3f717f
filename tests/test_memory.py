"""The memory plan: against published figures of real models, and against real tensors of tiny ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.commands.memory import (
    Plan,
    full_logits_bytes,
    generation_plan,
    kv_bytes_per_token,
    longest_sequence,
    nf4_bytes,
    saved_bytes,
    seq2seq_plan,
    training_plan,
    vllm_plan,
    vllm_step,
    weight_bytes,
)
from ldr_utils.commands.shapes import (
    FAMILIES,
    KNOWN,
    KNOWN_SEQ2SEQ,
    Seq2SeqShape,
    Shape,
    adapter_count,
    parameter_count,
)
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams, TrainingParams, TranslationParams

# What the models' public config.json files say, as far as it matters, and their parameters.
PUBLISHED: dict[str, tuple[int, dict[str, Any]]] = {
    "meta-llama-3-8b-instruct": (
        8_030_261_248,
        {
            "model_type": "llama",
            "attention_bias": False,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "max_position_embeddings": 8192,
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
            "vocab_size": 128256,
        },
    ),
    "llama-2-7b-chat-hf": (
        6_738_415_616,
        {
            "model_type": "llama",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "max_position_embeddings": 4096,
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 32,
            "rope_scaling": None,
            "tie_word_embeddings": False,
            "vocab_size": 32000,
        },
    ),
    "qwen2-7b-instruct": (
        7_615_616_512,
        {
            "model_type": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "max_position_embeddings": 32768,
            "num_attention_heads": 28,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
            "vocab_size": 152064,
        },
    ),
    "smollm2-135m-instruct": (
        134_515_008,
        {
            "model_type": "llama",
            "attention_bias": False,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "mlp_bias": False,
            "max_position_embeddings": 8192,
            "num_attention_heads": 9,
            "num_hidden_layers": 30,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
            "vocab_size": 49152,
        },
    ),
    "llama-3.2-1b-instruct": (
        1_235_814_400,
        {
            "model_type": "llama",
            "attention_bias": False,
            "head_dim": 64,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "mlp_bias": False,
            "max_position_embeddings": 131072,
            "num_attention_heads": 32,
            "num_hidden_layers": 16,
            "num_key_value_heads": 8,
            "tie_word_embeddings": True,
            "vocab_size": 128256,
        },
    ),
    "qwen2.5-1.5b-instruct": (
        1_543_714_304,
        {
            "model_type": "qwen2",
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "max_position_embeddings": 32768,
            "num_attention_heads": 12,
            "num_hidden_layers": 28,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "vocab_size": 151936,
        },
    ),
    "qwen3-4b-instruct-2507": (
        4_022_468_096,
        {
            "model_type": "qwen3",
            "attention_bias": False,
            "head_dim": 128,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "max_position_embeddings": 262144,
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
            "num_key_value_heads": 8,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
    ),
    "gemma-2-2b-it": (
        2_614_341_888,
        {
            "model_type": "gemma2",
            "attention_bias": False,
            "head_dim": 256,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "max_position_embeddings": 8192,
            "num_attention_heads": 8,
            "num_hidden_layers": 26,
            "num_key_value_heads": 4,
            "vocab_size": 256000,  # that its embeddings are tied is not said
        },
    ),
    "gemma-2-9b-it": (
        9_241_705_984,
        {
            "model_type": "gemma2",
            "attention_bias": False,
            "head_dim": 256,
            "hidden_size": 3584,
            "intermediate_size": 14336,
            "max_position_embeddings": 8192,
            "num_attention_heads": 16,
            "num_hidden_layers": 42,
            "num_key_value_heads": 8,
            "vocab_size": 256000,
        },
    ),
    "gemma-3-4b-it": (
        4_300_079_472,
        {
            "model_type": "gemma3",
            "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},  # no heads
            "vision_config": {
                "hidden_size": 1152,
                "image_size": 896,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "patch_size": 14,
            },
        },
    ),
}
COUNTS = {name: count for name, (count, _) in PUBLISHED.items()} | {
    "llama-3.1-8b-instruct": 8_030_261_248,
    "llama-3.2-3b-instruct": 3_212_749_824,
    "qwen2.5-3b-instruct": 3_085_938_688,
    "qwen2.5-7b-instruct": 7_615_616_512,
    "gemma-3-1b-it": 999_885_952,
    "gemma-3-4b-it": 4_300_079_472,
    "eurollm-9b-instruct": 9_152_319_488,  # 9.15 B by its card
    "salamandra-2b-instruct": 2_253_490_176,  # by its card
    "salamandra-7b-instruct": 7_768_117_248,  # by its card
}
LLAMA_8B = KNOWN["meta-llama-3-8b-instruct"]
TINY = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "llama, all heads": ("Llama", {"num_key_value_heads": 4}),
    "llama, wide heads": ("Llama", {"head_dim": 24}),
    "llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"head_dim": 32}),
    "ministral": ("Ministral", {"head_dim": 32}),
    "ministral3": ("Ministral3", {}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3, biases": ("Qwen3", {"head_dim": 32, "attention_bias": True}),
    "gemma": ("Gemma", {"head_dim": 32}),
    "gemma2": ("Gemma2", {"head_dim": 32}),
    "gemma3": ("Gemma3", {"head_dim": 32, "sliding_window": 8}),
    "phi3": ("Phi3", {"pad_token_id": 0}),
    "cohere": ("Cohere", {}),
    "cohere, norms of queries": ("Cohere", {"use_qk_norm": True}),
    "cohere2": ("Cohere2", {}),
    "smollm3": ("SmolLM3", {"mlp_bias": True, "pad_token_id": 0}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "olmo3": ("Olmo3", {}),
    "granite": ("Granite", {"mlp_bias": True}),
    "apertus": ("Apertus", {}),
}


def build(variant: str, **changes: Any) -> tuple[Any, Shape]:
    """A tiny model of random weights, and the shape read from the config.json that it would save."""
    import transformers

    family, own = VARIANTS[variant]
    class_of_config = f"{family}TextConfig" if family == "Gemma3" else f"{family}Config"
    config = getattr(transformers, class_of_config)(**{**TINY, **own, **changes})
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    return model, Shape.from_config(json.loads(config.to_json_string()))


def with_adapter(model: Any, r: int) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=r, target_modules="all-linear", task_type="CAUSAL_LM"))


# Published figures


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_of_known_models(name: str) -> None:
    assert parameter_count(KNOWN[name]) == COUNTS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_known_shapes_are_the_published_ones(name: str) -> None:
    count, config = PUBLISHED[name]
    shape = Shape.from_config(config)
    assert shape == KNOWN[name]
    assert parameter_count(shape) == count


def test_kv_cache_per_token() -> None:
    assert kv_bytes_per_token(LLAMA_8B, "bfloat16") == 2 * 32 * 8 * 128 * 2 == 131_072
    assert kv_bytes_per_token(KNOWN["llama-2-7b-chat-hf"], "float16") == 524_288
    assert kv_bytes_per_token(KNOWN["qwen2-7b-instruct"], "float32") == 114_688
    assert kv_bytes_per_token(KNOWN["qwen2.5-1.5b-instruct"], "float16") == 2 * 28 * 2 * 128 * 2 == 28_672
    assert kv_bytes_per_token(KNOWN["smollm2-135m-instruct"], "float32") == 2 * 30 * 3 * 64 * 4 == 46_080


def test_adapters_of_known_models() -> None:
    """As peft prints them for r = 16 on all linear layers."""
    assert adapter_count(LLAMA_8B, 16) == 41_943_040
    assert adapter_count(KNOWN["llama-2-7b-chat-hf"], 16) == 39_976_960


def test_nf4_costs_the_bits_of_the_qlora_paper() -> None:
    """4 + 8/64 + 32/(64 * 256) bits a weight (Dettmers et al. 2023, Section 3)."""
    assert 8 * nf4_bytes(4096 * 4096) / 4096**2 == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=1e-3)


def test_weights_of_llama_3_8b() -> None:
    """6.98 of its 8.03 billion parameters are quantised; embeddings, head and norms are not."""
    rest = 2 * 128256 * 4096 + (2 * 32 + 1) * 4096
    quantised = (8_030_261_248 - rest) * 4.127 / 8
    assert weight_bytes(LLAMA_8B, "bfloat16", "none") == 2 * 8_030_261_248
    assert weight_bytes(LLAMA_8B, "bfloat16", "nf4") == pytest.approx(quantised + 2 * rest, rel=1e-3)
    assert weight_bytes(LLAMA_8B, "bfloat16", "nf4", training=True) == pytest.approx(quantised + 4 * rest, rel=1e-3)


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"])
def test_incomplete_config(key: str) -> None:
    config = {k: v for k, v in PUBLISHED["qwen2-7b-instruct"][1].items() if k != key}
    with pytest.raises(InputError, match=f"^config.json: {key} is missing"):
        Shape.from_config(config)


@pytest.mark.parametrize("family", ["mamba", None])
def test_unknown_architecture(family: str | None) -> None:
    with pytest.raises(InputError, match="has no memory plan; known: llama, mistral, "):
        Shape.from_config({**PUBLISHED["qwen2-7b-instruct"][1], "model_type": family})


# Real tensors


def test_every_family_is_tried() -> None:
    tried = {build(variant)[0].config.model_type for variant in VARIANTS}
    assert tried == set(FAMILIES)


@pytest.mark.parametrize("name", ["qwen3-4b-instruct-2507", "gemma-2-2b-it", "gemma-3-4b-it"])
def test_published_configs_make_models_of_that_size(name: str) -> None:
    """As transformers builds them, without memory for the weights: its defaults fill what a config leaves out."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    count, config = PUBLISHED[name]
    own = {"vision_config": config["vision_config"] | {"vision_use_head": False}} if "vision_config" in config else {}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config | own))
    assert model.num_parameters() == count


@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_of_real_models(variant: str) -> None:
    model, shape = build(variant)
    assert parameter_count(shape) == model.num_parameters()
    assert weight_bytes(shape, "float32", "none") == sum(p.nbytes for p in model.parameters())
    adapted = with_adapter(model, 5)
    assert adapter_count(shape, 5) == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


@pytest.mark.parametrize("variant", ["llama", "llama, wide heads", "qwen2", "gemma3", "phi3"])
def test_kv_cache_of_a_real_model(variant: str) -> None:
    import torch

    model, shape = build(variant)
    with torch.inference_mode():
        cache = model(torch.ones((3, 7), dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 3 * 7 * kv_bytes_per_token(shape, "float32")


def nf4_held(model: Any) -> int:
    """Bytes of a model's parameters and of the quantisation state that hangs on them."""
    held = 0
    for parameter in model.parameters():
        held += parameter.nbytes
        if (state := getattr(parameter, "quant_state", None)) is not None:
            tensors = (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)
            held += sum(tensor.nbytes for tensor in tensors)
    return held


def as_nf4(model: Any, folder: Path) -> Any:
    """The model saved and loaded with bitsandbytes, as ``load_policy`` does."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    model.save_pretrained(folder)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=nf4)


def for_training(model: Any) -> Any:
    """As ``start_policy`` does."""
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


@pytest.mark.parametrize("variant", ["llama", "llama, tied", "llama, biases", "qwen2", "qwen3", "gemma2", "phi3"])
def test_nf4_of_a_real_model(variant: str, tmp_path: Path) -> None:
    """Which tensors are quantised, what their state takes, and what training casts to float32."""
    saved, shape = build(variant)
    model = as_nf4(saved, tmp_path)
    assert weight_bytes(shape, "bfloat16", "nf4") == nf4_held(model)
    assert weight_bytes(shape, "bfloat16", "nf4", training=True) == nf4_held(for_training(model))


def batch(sequences: int, length: int) -> tuple[Any, Any]:
    """Random tokens and a mask with some padding (without any, attention takes another path)."""
    import torch

    ids = torch.randint(0, 90, (sequences, length))
    mask = torch.ones_like(ids)
    mask[0, : length // 4] = 0
    return ids, mask


def kept_by_a_layer(model: Any, sequences: int, length: int, autocast: bool) -> int:
    """Bytes of activations that autograd keeps for one decoder layer more."""
    import torch

    ids, mask = batch(sequences, length)
    stack = model.get_base_model().model
    every = stack.layers

    def kept(layers: int) -> int:
        storages: dict[int, int] = {}

        def keep(tensor: Any) -> Any:
            if tensor.dim() > 2 or tensor.shape[0] == sequences * length:  # not a parameter, nor the cast of one
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                alive.append(tensor)
            return tensor

        alive: list[Any] = []
        stack.layers = every[:layers]
        with (
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            stack(ids, attention_mask=mask, use_cache=False)
        return sum(storages.values())

    return kept(2) - kept(1)


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        ("llama", "float32"),
        ("llama", "bfloat16"),
        ("llama", "nf4"),
        ("llama, wide heads", "float32"),
        ("qwen2", "nf4"),
        ("qwen3", "bfloat16"),
        ("gemma2", "nf4"),
        ("gemma3", "float32"),
        ("olmo2", "bfloat16"),
    ],
)
def test_activations_of_a_real_layer(variant: str, precision: str, tmp_path: Path) -> None:
    import torch

    model, shape = build(variant, hidden_size=128, intermediate_size=384)
    if precision == "nf4":
        model = for_training(as_nf4(model, tmp_path))
    elif precision == "bfloat16":
        model = model.to(torch.bfloat16)
    compute, stream = {"float32": (4, 4), "bfloat16": (2, 2), "nf4": (2, 4)}[precision]
    measured = kept_by_a_layer(with_adapter(model, 4).train(), 2, 160, autocast=compute == 2)
    assert saved_bytes(shape, 2, 160, compute, stream) == pytest.approx(measured, rel=0.03)


def peak(step: Callable[[], None]) -> int:
    """Most bytes that ``step`` has allocated at once."""
    from torch.profiler import ProfilerActivity, profile

    step()  # what the first call allocates for good is not the step's
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    kineto: Any = record.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    sizes: list[int] = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes))


@pytest.mark.parametrize(
    ("vocab", "checkpointing"),
    [(96, False), (96, True), (4096, False), (4096, True)],  # where layers make the peak, and where the head does
)
def test_peak_of_a_real_training_step(vocab: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy forward, reference forward, DPO loss, backward, through TRL's fused head."""
    import torch
    import trl.trainer.utils

    # A vocabulary below the tile's width leaves the rest of the buffer untouched, which the profiler cannot know.
    monkeypatch.setattr(trl.trainer.utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", vocab)
    base, shape = build(
        "llama",
        vocab_size=vocab,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=6,
        max_position_embeddings=256,
    )
    trl.trainer.utils.add_fused_lm_head(base, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    model = with_adapter(base, 8).train()
    model.add_adapter("ref", model.peft_config["default"])
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids, mask = batch(4, 200)

    def log_probs(adapter: str) -> Any:
        model.set_adapter(adapter)
        return model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True).log_probs.sum(1)

    def step() -> None:
        policy = log_probs("default")
        with torch.no_grad():
            reference = log_probs("ref")
        model.set_adapter("default")
        chosen, rejected = (policy - reference).chunk(2)
        loss: Any = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
        loss.backward()
        model.zero_grad()

    params = TrainingParams(train_batch_size=2, max_length=200, lora_r=8, gradient_checkpointing=checkpointing)
    plan = training_plan(shape, params, "float32", on_gpu=False)
    assert plan.activations + plan.logits + plan.gradients == pytest.approx(peak(step), rel=0.12)


def generating(model: Any, ids: Any, mask: Any, **settings: Any) -> Callable[[], None]:
    """Greedy generation as the study does it, to be measured."""
    import torch

    def step() -> None:
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=mask, do_sample=False, repetition_penalty=1.1, **settings)

    return step


@pytest.mark.parametrize(("variant", "vocab"), [("llama", 96), ("llama, all heads", 96), ("llama", 50_000)])
def test_peak_of_real_generation(variant: str, vocab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base, shape = build(variant, vocab_size=vocab, hidden_size=128, intermediate_size=384, max_position_embeddings=256)
    model = with_adapter(base, 8).eval()
    monkeypatch.setattr("ldr_utils.commands.memory.TEMPLATE_TOKENS", 80)
    ids, mask = batch(8, 100)
    model.generation_config.eos_token_id = None  # no answer ends early

    step = generating(model, ids, mask, max_new_tokens=20, pad_token_id=0)
    plan = generation_plan(
        shape,
        StudyParams(batch_size=8, max_new_tokens=20, translation_max_new_tokens=20, evaluation_max_new_tokens=20),
        "float32",
        lora_r=8,
    )
    assert plan.activations + plan.logits + plan.kv_cache == pytest.approx(peak(step), rel=0.15)


# A translator of NLLB's family


def translation_model(**changes: Any) -> tuple[Any, Seq2SeqShape]:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    values = {"vocab_size": 96, "d_model": 64, "encoder_layers": 3, "decoder_layers": 2, "encoder_ffn_dim": 160}
    values |= {"decoder_ffn_dim": 96, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    config = M2M100Config(**(values | {"max_position_embeddings": 64} | changes))
    return M2M100ForConditionalGeneration(config), Seq2SeqShape.from_config(json.loads(config.to_json_string()))


def test_parameters_of_a_translator() -> None:
    model, shape = translation_model()
    assert shape.parameters == model.num_parameters()
    assert KNOWN_SEQ2SEQ["nllb-200-distilled-600m"].parameters == 615_073_792


@pytest.mark.parametrize("vocab", [96, 20_000])
def test_peak_of_a_real_translation(vocab: int) -> None:
    model, shape = translation_model(vocab_size=vocab, max_position_embeddings=65)
    model.eval().generation_config.eos_token_id = None  # no sentence ends early
    ids, mask = batch(8, 64)

    step = generating(model, ids, mask, max_length=None, max_new_tokens=64, forced_bos_token_id=5)
    plan = seq2seq_plan(shape, TranslationParams(batch_size=8, translation_max_new_tokens=200), "float32")
    assert plan.activations + plan.logits + plan.kv_cache == pytest.approx(peak(step), rel=0.2)


@pytest.mark.parametrize("key", ["model_type", "d_model"])
def test_incomplete_config_of_a_translator(key: str) -> None:
    config = json.loads(translation_model()[0].config.to_json_string())
    del config[key]
    with pytest.raises(InputError, match=key):
        Seq2SeqShape.from_config(config)


# Plans


def test_parts_and_total() -> None:
    plan = Plan(weights=100, adapter=10, activations=7, logits=3)
    assert plan.parts == {"weights": 100, "adapter": 10, "activations": 7, "logits": 3}
    assert plan.total == 120


def test_training_plan_of_llama_3_8b() -> None:
    """The paper's main model by QLoRA, one pair of 2,048 tokens at a time, on a GPU that computes in bfloat16."""
    params = TrainingParams(
        quantization="nf4", lora_r=16, train_batch_size=1, max_length=2048, gradient_checkpointing=True
    )
    plan = training_plan(LLAMA_8B, params, "bfloat16", on_gpu=True)
    assert plan.adapter == plan.reference == plan.gradients == 4 * 41_943_040
    assert plan.optimizer == 8 * 41_943_040
    assert plan.kv_cache == 0
    tokens = 2 * 2048
    assert plan.logits == 4096 * 32768 * 2 + 32768 * 4096 * 2 + tokens * 4096 * 4
    assert plan.activations > 32 * tokens * 4096 * 4  # the inputs of all layers
    assert 10 * 2**30 < plan.total < 16 * 2**30


def test_the_fused_head_does_not_grow_with_the_vocabulary() -> None:
    params = TrainingParams(train_batch_size=4, max_length=1024)
    small, large = (
        training_plan(Shape(vocab, 512, 2, 8, 8, 64, 2048), params, "bfloat16", on_gpu=True).logits
        for vocab in (32768, 8 * 32768)
    )
    assert small == large
    assert full_logits_bytes(LLAMA_8B, 8, 1024) == 2 * 8 * 1024 * 128256 * 4


@pytest.mark.parametrize("on_gpu", [False, True])
def test_what_makes_training_smaller(on_gpu: bool) -> None:
    params = TrainingParams(train_batch_size=8, max_length=1024)

    def total(**changes: Any) -> int:
        return training_plan(LLAMA_8B, params.model_copy(update=changes), "bfloat16", on_gpu).total

    for changes in ({"train_batch_size": 4}, {"max_length": 512}, {"gradient_checkpointing": True}, {"lora_r": 8}):
        assert total(**changes) < total(), changes
    assert total(quantization="nf4", train_batch_size=1) < total(train_batch_size=1)


def test_generation_plan_of_llama_3_8b() -> None:
    params = StudyParams(batch_size=16, max_new_tokens=1000, translation_max_new_tokens=1500)
    plan = generation_plan(LLAMA_8B, params, "bfloat16", lora_r=16)
    assert plan.weights == 2 * 8_030_261_248
    assert plan.kv_cache == 16 * (1000 + 128 + 1500) * 131_072
    assert plan.logits == 16 * 128256 * (2 + 4 * 4)
    assert (plan.gradients, plan.optimizer, plan.reference) == (0, 0, 0)


A100 = vllm_step(80 * 2**30, "NVIDIA A100-SXM4-80GB")


@pytest.mark.parametrize(
    ("gib", "gpu", "step"),
    [
        (79, "NVIDIA H100 80GB HBM3", (16384, 1024)),
        (140, "NVIDIA H200", (16384, 1024)),
        (180, "NVIDIA B200", (16384, 1024)),
        (79, "NVIDIA A100-SXM4-80GB", (8192, 256)),
        (24, "NVIDIA L4", (8192, 256)),
        (24, None, (4096, 256)),
    ],
)
def test_vllm_schedules_by_device(gib: int, gpu: str | None, step: tuple[int, int]) -> None:
    assert vllm_step(gib * 2**30, gpu) == step


def test_vllm_chooses_what_the_plan_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against vLLM itself, on a device that it is told of."""
    vllm_args = pytest.importorskip("vllm.engine.arg_utils")
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext

    for gib, gpu in ((79, "NVIDIA H100"), (80, "NVIDIA A100"), (22, "NVIDIA L4"), (180, "NVIDIA B200")):
        kind = type(current_platform)
        monkeypatch.setattr(kind, "get_device_total_memory", classmethod(lambda cls, size=gib: size * 2**30))
        monkeypatch.setattr(kind, "get_device_name", classmethod(lambda cls, name=gpu: name))
        monkeypatch.setattr(kind, "is_cpu", lambda self: False)
        tokens, sequences = vllm_args.EngineArgs.get_batch_defaults(1)
        chosen = (tokens[UsageContext.LLM_CLASS], sequences[UsageContext.LLM_CLASS])
        assert chosen == vllm_step(gib * 2**30, gpu), gpu


def test_vllm_plan_of_llama_3_8b() -> None:
    """Unquantised whatever trains; the cache holds one sequence as long as the model or max_model_len allows."""
    params = StudyParams(quantization="nf4", max_new_tokens=1000, translation_max_new_tokens=1500, max_model_len=4096)
    plan = vllm_plan(LLAMA_8B, params, "bfloat16", lora_r=16, step=A100)
    assert plan.weights == 2 * 8_030_261_248
    assert plan.adapter == 2 * 41_943_040
    assert plan.kv_cache == 4096 * 131_072
    own = params.model_copy(update={"max_model_len": 0})
    assert vllm_plan(LLAMA_8B, own, "bfloat16", lora_r=16, step=A100).kv_cache == 8192 * 131_072
    assert longest_sequence(params) == 1000 + 128 + 1500


def test_the_longest_sequence_is_a_translation_a_test_answer_or_a_second_turn() -> None:
    lengths: dict[str, Any] = {"max_new_tokens": 100, "translation_max_new_tokens": 200}
    lengths["evaluation_max_new_tokens"] = 400
    assert longest_sequence(StudyParams(**lengths)) == 128 + 400
    assert longest_sequence(StudyParams(**(lengths | {"evaluation_max_new_tokens": 250}))) == 128 + 100 + 200
    judged: dict[str, Any] = {"judge": "local", "judge_model": "models/micro", "source": "published"}
    judged["mt_bench_dir"] = "questions"
    assert longest_sequence(StudyParams(**lengths, **judged)) == 128 + 2 * 400, "the second turn holds the first"


def test_float16_nf4_of_the_colab_study_fits_a_t4() -> None:
    shape = KNOWN["qwen2.5-1.5b-instruct"]
    params = TrainingParams(
        quantization="nf4", lora_r=8, train_batch_size=1, max_length=896, gradient_checkpointing=True
    )
    plan = training_plan(shape, params, "float16", on_gpu=True)
    embeddings, norms = 151936 * 1536, (2 * 28 + 1) * 1536
    biases = 28 * (1536 + 2 * 256)
    linears = 1_543_714_304 - embeddings - norms - biases
    assert plan.weights == pytest.approx(linears * 4.127 / 8 + 4 * (embeddings + norms + biases), rel=1e-3)
    assert plan.total < 4 * 2**30
    generation = generation_plan(
        shape,
        StudyParams(quantization="nf4", batch_size=32, max_new_tokens=384, translation_max_new_tokens=384),
        "float16",
        lora_r=8,
    )
    assert generation.kv_cache == 32 * (384 + 128 + 384) * 28_672
    assert generation.total < 14 * 2**30
