"""How much memory a study needs: arithmetic on a model's ``config.json``, before anything is loaded.

Every size is in bytes. A plan counts tensors; what the runtime takes beside them (CUDA context, fragmentation, the
interpreter) is left to the margin of whoever compares it with a device.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import NamedTuple

from ldr_utils.commands.shapes import Seq2SeqShape, Shape, adapter_count, parameter_count
from ldr_utils.study.params import StudyParams, TrainingParams, TranslatingParams

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes a value
FLOAT = 4
TEMPLATE_TOKENS = 128  # chat template and instruction around the text that a translation prompt carries
HEAD_TOKENS, HEAD_VOCAB = 4096, 32768  # tile of TRL's fused lm head (trl/kernels/chunked_logprob.py)
HEAD_COPIES = 7  # float32 tiles alive at once in its backward where Triton is missing (CPU)


@dataclass(frozen=True)
class Plan:
    """Bytes that are alive at the worst moment of training or of generation, by part."""

    weights: int
    adapter: int
    activations: int
    logits: int
    reference: int = 0
    gradients: int = 0
    optimizer: int = 0
    kv_cache: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """The parts that are there at all."""
        return {name: size for name, size in asdict(self).items() if size}

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def nf4_bytes(weights: int) -> int:
    """Bytes of one NF4 matrix with double quantisation (bitsandbytes; Dettmers et al. 2023, Section 3).

    Half a byte a weight, one byte for the absmax of each block of 64 weights, four for the absmax of each 256 of
    those, and the state of the matrix: two code tables (16 and 256 float32) and the offset.
    """
    blocks = ceil(weights / 64)
    return ceil(weights / 2) + blocks + ceil(blocks / 256) * FLOAT + (16 + 256 + 1) * FLOAT


def weight_bytes(shape: Shape, dtype: str, quantization: str, training: bool = False) -> int:
    """Bytes of the base model.

    NF4 takes the linear layers of the decoder. Embeddings, lm head, norms and biases stay in ``dtype``; for training,
    ``prepare_model_for_kbit_training`` casts them to float32.
    """
    if quantization == "none":
        return parameter_count(shape) * WIDTH[dtype]
    quantised = shape.layers * sum(linear.weights for linear in shape.linears)
    rest = (parameter_count(shape) - quantised) * (FLOAT if training else WIDTH[dtype])
    return shape.layers * sum(nf4_bytes(linear.weights) for linear in shape.linears) + rest


def kv_bytes_per_token(shape: Shape, dtype: str) -> int:
    """Keys and values of one token: ``2 layers kv_heads head_dim`` values."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * WIDTH[dtype]


def full_logits_bytes(shape: Shape, sequences: int, length: int) -> int:
    """What a plain lm head would hold in training: float32 logits of every position, and their gradient."""
    return 2 * sequences * length * shape.vocab * FLOAT


def saved_bytes(shape: Shape, sequences: int, length: int, compute: int, stream: int) -> int:
    """Estimate of what one decoder layer with LoRA keeps for its backward pass.

    With h, a, m the widths of hidden state, attention and MLP, a token keeps: the inputs of the norms in float32 (2 h
    and, where queries and keys are normed, their widths); queries, keys and values repeated to all heads, and the
    attention's output (4 a); gate, its activation and up projection (3 m); and LoRA's inputs, which mixed precision
    copies for each projection (5 h + a + m) where float32 shares them (2 h + m). A sequence also keeps its attention
    mask as a bias (length^2). Frozen weights keep nothing for themselves. Assumes memory-efficient attention (no
    length^2 scores a head). Phi's fused layers make it some 10 % off.

    Parameters
    ----------
    shape : Shape
        The model.
    sequences, length : int
        Sequences and padded length of a micro-batch.
    compute, stream : int
        Bytes a value in matrix products (autocast) and between layers.
    """
    h, a, m = shape.hidden, shape.attention, shape.intermediate
    adapted = 2 * h + m if compute == FLOAT else 5 * h + a + m
    normed = max(2, shape.norms) * h + (a + shape.key_values if shape.qk_norm else 0)
    token = normed * FLOAT + (adapted + 4 * a) * compute + 3 * m * stream
    return sequences * (length * token + length**2 * compute)


def training_plan(shape: Shape, params: TrainingParams, dtype: str, on_gpu: bool) -> Plan:
    """Memory of ``05_qlora_dpo`` at its peak, all sequences as long as ``max_length`` allows.

    Assumes what ``method.training`` does: the adapter, its frozen copy (the reference), gradients and AdamW's two
    moments in float32; autocast on a GPU only; a micro-batch of ``train_batch_size`` pairs, that is twice as many
    sequences; TRL's fused lm head, which never holds more than a tile of the logits (``full_logits_bytes`` is what it
    saves). With gradient checkpointing a layer keeps its input alone and one layer at a time is recomputed. The head
    is done before the layers go backward, so activations count only what the latter need beyond the former's tile.

    Parameters
    ----------
    shape : Shape
        The base model.
    params : TrainingParams
        Batch, length, rank, quantisation and checkpointing.
    dtype : str
        Key of ``WIDTH``: what ``models.choose_dtype`` decides.
    on_gpu : bool
        Whether autocast and Triton are at work.
    """
    adapter = adapter_count(shape, params.lora_r)
    compute = WIDTH[dtype] if on_gpu else FLOAT
    stream = FLOAT if params.quantization == "nf4" else WIDTH[dtype]
    sequences, length = 2 * params.train_batch_size, params.max_length
    tokens = sequences * length
    layer = saved_bytes(shape, sequences, length, compute, stream)
    # Beside what is kept, a layer's backward holds gradients of the three MLP tensors and one matrix out of NF4.
    working = 3 * tokens * shape.intermediate * stream + _dequantised(shape, params.quantization, compute)
    kept = shape.layers * layer
    if params.gradient_checkpointing:
        kept, working = shape.layers * tokens * shape.hidden * stream, layer + working
    head = _fused_head_bytes(shape, tokens, compute, on_gpu)
    return Plan(
        weights=weight_bytes(shape, dtype, params.quantization, training=True),
        adapter=adapter * FLOAT,
        reference=adapter * FLOAT,
        gradients=adapter * FLOAT,
        optimizer=2 * adapter * FLOAT,
        activations=kept + max(0, working - head),
        logits=head,
    )


def _fused_head_bytes(shape: Shape, tokens: int, compute: int, on_gpu: bool) -> int:
    """One tile of logits, worked on in place by Triton and in copies by torch, and the float32 gradient it feeds."""
    rows, columns = min(tokens, HEAD_TOKENS), min(shape.vocab, HEAD_VOCAB)
    if on_gpu:  # the buffer is as wide as a tile whatever the vocabulary; the head's weights are cast a tile at a time
        tile = rows * HEAD_VOCAB * compute + columns * shape.hidden * compute
    else:
        tile = (1 + HEAD_COPIES) * rows * columns * FLOAT
    return tile + tokens * shape.hidden * FLOAT


def generation_plan(shape: Shape, params: StudyParams, dtype: str, lora_r: int) -> Plan:
    """Memory of ``transformers``' ``generate`` at its peak.

    Assumes that a batch is as long as `longest_sequence` allows, and that its prompts are the longest that there are,
    so that reading them takes more than any later step; padding, which makes attention repeat grouped keys and values
    to all heads and hold a mask of length^2; logits of the last position only, in ``dtype`` and, as measured, four
    times in float32 (this step's and the last's, with and without the repetition penalty). As in training, activations
    count only what they need beyond the logits.

    Parameters
    ----------
    shape : Shape
        The base model.
    params : StudyParams
        Batch, length of answers and translations, and quantisation.
    dtype : str
        Key of ``WIDTH``: what ``models.choose_dtype`` decides.
    lora_r : int
        Rank of the adapter that M_1 and later carry.
    """
    width, batch = WIDTH[dtype], params.batch_size
    length, prompt = longest_sequence(params), longest_prompt(params)
    h, a, m = shape.hidden, shape.attention, shape.intermediate
    attention, mlp = 4 * a * width + 2 * h * FLOAT, 3 * m * width + m * FLOAT
    prefill = batch * (prompt * (2 * h * width + max(attention, mlp)) + prompt**2 * (1 + width))
    working = prefill + _dequantised(shape, params.quantization, width)
    logits = batch * shape.vocab * (width + 4 * FLOAT)
    return Plan(
        weights=weight_bytes(shape, dtype, params.quantization),
        adapter=adapter_count(shape, lora_r) * FLOAT,
        kv_cache=batch * length * kv_bytes_per_token(shape, dtype),
        activations=max(0, working - logits),
        logits=logits,
    )


def judging_plan(shape: Shape, params: StudyParams, dtype: str) -> Plan:
    """Memory of a judge that reads questions of ``judge_batch_size`` at once, in unquantised weights.

    A question quotes two answers to a test set, or an answer and a translation; what it is answered with is a token or
    few.
    """
    batch = params.judge_batch_size
    answers = max(2 * params.evaluation_max_new_tokens, params.max_new_tokens + params.translation_max_new_tokens)
    asked = params.model_copy(update={"batch_size": batch, "max_new_tokens": answers, "quantization": "none"})
    plan = generation_plan(shape, asked, dtype, lora_r=0)
    return replace(plan, kv_cache=batch * (answers + TEMPLATE_TOKENS) * kv_bytes_per_token(shape, dtype))


def longest_prompt(params: StudyParams) -> int:
    """Tokens of a prompt with an answer in it: a translation's, or one of MT-Bench's second turn.

    What is translated back is as long as the answer that it came from, give or take.
    """
    return TEMPLATE_TOKENS + max(params.max_new_tokens, params.evaluation_max_new_tokens if params.mt_bench_dir else 0)


def longest_sequence(params: StudyParams) -> int:
    """Tokens of the longest prompt and what is written after it."""
    translated = TEMPLATE_TOKENS + params.max_new_tokens + params.translation_max_new_tokens
    turns = 2 if params.mt_bench_dir else 1
    return max(translated, TEMPLATE_TOKENS + turns * params.evaluation_max_new_tokens)


class Step(NamedTuple):
    """What vLLM takes into one scheduling step at most."""

    tokens: int
    sequences: int


def vllm_step(total: int, gpu: str | None) -> Step:
    """vLLM's own choice for offline generation, by device (``EngineArgs.get_batch_defaults`` of vLLM 0.32).

    Parameters
    ----------
    total : int
        Memory of the device in bytes.
    gpu : str or None
        Its name; None for a CPU.
    """
    if gpu is None:
        return Step(4096, 256)
    large = total >= 160 * 2**30 or (total >= 70 * 2**30 and "a100" not in gpu.lower())
    return Step(16384, 1024) if large else Step(8192, 256)


def vllm_plan(shape: Shape, params: StudyParams, dtype: str, lora_r: int, step: Step) -> Plan:
    """Memory that vLLM cannot do without; it takes the share ``gpu_memory`` of the device whatever it needs.

    Weights are unquantised (vLLM's core has no bitsandbytes). The cache must hold one sequence of ``max_model_len``
    tokens, by default the model's own; more of it only means more prompts side by side. Activations are those of one
    scheduling step, estimated as hidden state and MLP; CUDA graphs are left to the margin.

    Parameters
    ----------
    shape : Shape
        The base model.
    params : StudyParams
        Length of answers and of the cache.
    dtype : str
        Key of ``WIDTH``: what ``models.choose_dtype`` decides.
    lora_r : int
        Rank of the adapter that M_1 and later carry.
    step : Step
        See `vllm_step`.
    """
    width = WIDTH[dtype]
    tokens = params.max_model_len or shape.positions or longest_sequence(params)
    return Plan(
        weights=weight_bytes(shape, dtype, "none"),
        adapter=adapter_count(shape, lora_r) * width,
        kv_cache=tokens * kv_bytes_per_token(shape, dtype),
        activations=step.tokens * (4 * shape.hidden + 3 * shape.intermediate) * width,
        logits=step.sequences * shape.vocab * (width + 2 * FLOAT),
    )


def seq2seq_plan(shape: Seq2SeqShape, params: TranslatingParams, dtype: str) -> Plan:
    """Memory of ``translators.Seq2SeqTranslator`` at its peak.

    Assumes a batch of sentences as long as their translations may get. The decoder holds keys and values of both sides,
    the encoder's output, and a copy of one layer's keys while they grow; the encoder's own pass is over by then, so
    that activations count only what it needs beyond that. Logits are those of ``generation_plan``.

    Parameters
    ----------
    shape : Seq2SeqShape
        The translator, whose weights are never quantised.
    params : TranslatingParams
        Batch and length of translations.
    dtype : str
        Key of ``WIDTH``: what ``models.choose_dtype`` decides.
    """
    width, batch = WIDTH[dtype], params.batch_size
    length = min(params.translation_max_new_tokens, shape.positions - 1)
    tokens, states = batch * length, 2 * shape.hidden + max(4 * shape.hidden, 2 * shape.encoder_ffn)
    kv_cache = 2 * tokens * 2 * shape.decoder_layers * shape.hidden * width
    decoding, encoding = 2 * tokens * shape.hidden * width, tokens * (states + length) * width
    logits = batch * shape.vocab * (width + 4 * FLOAT)
    return Plan(
        weights=shape.parameters * width,
        adapter=0,
        kv_cache=kv_cache,
        activations=max(decoding, encoding - kv_cache - logits),
        logits=logits,
    )


def _dequantised(shape: Shape, quantization: str, width: int) -> int:
    """The largest matrix, taken out of NF4 for one product."""
    return max(linear.weights for linear in shape.linears) * width if quantization == "nf4" else 0
