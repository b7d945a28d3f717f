"""The sizes of a model, read from its ``config.json``: what its parameters, its adapter and its memory follow from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ldr_utils.study.errors import InputError


class Linear(NamedTuple):
    """One linear layer: input and output features, and whether it has a bias."""

    inputs: int
    outputs: int
    bias: bool

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Family:
    """In what a family of decoders differs from Llama.

    Attributes
    ----------
    norms : int
        Norms with a weight for each feature of the hidden state, a layer.
    qk_norm : {"", "head", "all"}
        Norms of queries and keys: none, with weights for the features of one head, or of all.
    biases : sequence of str
        The keys of ``config.json`` that the family heeds: ``attention_bias``, ``mlp_bias``.
    qkv_bias : bool
        Whether queries, keys and values have biases whatever the config says.
    fused : bool
        Whether queries, keys and values are one linear layer, and gate and up projection another.
    gated : bool
        Whether the MLP has a gate; one that has none learns two numbers of its activation (xIELU).
    defaults : mapping
        What the class of transformers takes where ``config.json`` is silent, as published ones are.
    """

    norms: int = 2
    qk_norm: Literal["", "head", "all"] = ""
    biases: tuple[str, ...] = ("attention_bias",)
    qkv_bias: bool = False
    fused: bool = False
    gated: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)


TIED = {"tie_word_embeddings": True}
GEMMA = {**TIED, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
FAMILIES: dict[str, Family] = {
    "llama": Family(biases=("attention_bias", "mlp_bias")),
    "mistral": Family(biases=()),
    "ministral": Family(biases=()),
    "ministral3": Family(biases=(), defaults={"head_dim": 128}),
    "qwen2": Family(biases=(), qkv_bias=True),
    "qwen3": Family(qk_norm="head", defaults={"head_dim": 128}),
    "gemma": Family(defaults={**TIED, "head_dim": 256}),
    "gemma2": Family(norms=4, defaults=GEMMA),
    "gemma3_text": Family(
        norms=4, qk_norm="head", defaults={**GEMMA, "vocab_size": 262208, "max_position_embeddings": 131072}
    ),
    "phi3": Family(biases=(), fused=True),
    "cohere": Family(norms=1, defaults=TIED),
    "cohere2": Family(norms=1, defaults=TIED),
    "smollm3": Family(biases=("attention_bias", "mlp_bias"), defaults=TIED),
    "olmo": Family(norms=0),
    "olmo2": Family(qk_norm="all"),
    "olmo3": Family(qk_norm="all"),
    "granite": Family(biases=("attention_bias", "mlp_bias")),
    "apertus": Family(qk_norm="head", gated=False),
}
WRAPPED = {"gemma3": "gemma3_text"}  # models that also see: the decoder's config is ``text_config``


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder: rotary positions, grouped-query attention, an MLP; see `Family` for what differs.

    A sliding window is not in it: a cache is planned as if every layer saw everything, which is the most it can take.
    """

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    positions: int = 0  # tokens that a prompt and its answer may have together; 0 where it is not known
    norms: int = 2
    qk_norm: Literal["", "head", "all"] = ""
    fused: bool = False
    gated: bool = True
    tower: int = 0  # parameters beside the decoder: those of what sees, which no text passes through

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """Read a ``config.json``.

        Raises
        ------
        InputError
            When the architecture is none of ``FAMILIES`` or a size is missing.
        """
        name = config.get("model_type")
        wrapped, tower = WRAPPED.get(str(name)), 0
        try:
            if wrapped:
                text = {**config["text_config"], "model_type": wrapped}
                tower = _vision_count(config["vision_config"], int(text["hidden_size"]))
                name, config = wrapped, text
            family = FAMILIES.get(str(name))
            if family is None:
                known = ", ".join([*FAMILIES, *WRAPPED])
                raise InputError(f"config.json: model_type {name!r} has no memory plan; known: {known}")
            given = {**family.defaults, **{key: value for key, value in config.items() if value is not None}}
            hidden, heads = int(given["hidden_size"]), int(given["num_attention_heads"])
            bias, mlp_bias = (bool(given.get(key)) and key in family.biases for key in ("attention_bias", "mlp_bias"))
            return cls(
                vocab=int(given["vocab_size"]),
                hidden=hidden,
                layers=int(given["num_hidden_layers"]),
                heads=heads,
                kv_heads=int(given.get("num_key_value_heads") or heads),
                head_dim=int(given.get("head_dim") or hidden // heads),
                intermediate=int(given["intermediate_size"]),
                tied=bool(given.get("tie_word_embeddings")),
                qkv_bias=bias or family.qkv_bias,
                output_bias=bias,
                mlp_bias=mlp_bias,
                positions=int(given.get("max_position_embeddings") or 0),
                norms=family.norms,
                qk_norm="all" if given.get("use_qk_norm") else family.qk_norm,
                fused=family.fused,
                gated=family.gated,
                tower=tower,
            )
        except KeyError as missing:
            raise InputError(f"config.json: {missing.args[0]} is missing; give the model's complete config") from None

    @property
    def attention(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_values(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def qk_norm_weights(self) -> int:
        """Weights of one layer's norms of queries and keys."""
        return {"": 0, "head": 2 * self.head_dim, "all": self.attention + self.key_values}[self.qk_norm]

    @property
    def linears(self) -> list[Linear]:
        """Linear layers of one decoder layer: what LoRA's ``all-linear`` adapts and NF4 quantises."""
        hidden, m = self.hidden, self.intermediate
        output, down = Linear(self.attention, hidden, self.output_bias), Linear(m, hidden, self.mlp_bias)
        if self.fused:
            qkv = Linear(hidden, self.attention + 2 * self.key_values, self.qkv_bias)
            return [qkv, output, Linear(hidden, 2 * m, self.mlp_bias), down]
        key = Linear(hidden, self.key_values, self.qkv_bias)
        widening = [Linear(hidden, m, self.mlp_bias)] * (2 if self.gated else 1)
        return [Linear(hidden, self.attention, self.qkv_bias), key, key, output, *widening, down]


def _vision_count(config: Mapping[str, Any], hidden: int) -> int:
    """Parameters of a SigLIP vision tower without its head, and of the projector onto ``hidden`` features."""
    h, m, patch = int(config["hidden_size"]), int(config["intermediate_size"]), int(config["patch_size"])
    embeddings = 3 * patch**2 * h + h + (int(config["image_size"]) // patch) ** 2 * h
    layer = 4 * (h * h + h) + 2 * h * m + m + h + 2 * 2 * h
    return embeddings + int(config["num_hidden_layers"]) * layer + 2 * h + h * hidden + h


@dataclass(frozen=True)
class Seq2SeqShape:
    """Sizes of an encoder-decoder of the M2M100 family, as NLLB is: tied embeddings, sinusoidal positions."""

    vocab: int
    hidden: int
    encoder_layers: int
    decoder_layers: int
    encoder_ffn: int
    decoder_ffn: int
    positions: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Seq2SeqShape:
        """Read a ``config.json``.

        Raises
        ------
        InputError
            When the architecture is another or a size is missing.
        """
        if config.get("model_type") != "m2m_100":
            raise InputError(f"config.json: model_type {config.get('model_type')!r} has no memory plan; known: m2m_100")
        names = ("vocab_size", "d_model", "encoder_layers", "decoder_layers", "encoder_ffn_dim", "decoder_ffn_dim")
        try:
            return cls(*(int(config[name]) for name in (*names, "max_position_embeddings")))
        except KeyError as missing:
            raise InputError(f"config.json: {missing.args[0]} is missing; give the model's complete config") from None

    @property
    def parameters(self) -> int:
        """Parameters: embeddings once, a layer's attentions (one in the encoder, two in the decoder), MLP and norms."""
        h = self.hidden
        attention, norm = 4 * (h * h + h), 2 * h
        encoder = attention + 2 * h * self.encoder_ffn + self.encoder_ffn + h + 2 * norm
        decoder = 2 * attention + 2 * h * self.decoder_ffn + self.decoder_ffn + h + 3 * norm
        return self.vocab * h + self.encoder_layers * encoder + self.decoder_layers * decoder + 2 * norm


def parameter_count(shape: Shape) -> int:
    """Parameters of the model: those of every layer, the last norm, the embeddings (once where tied) and the tower."""
    layer = sum(linear.weights + linear.bias * linear.outputs for linear in shape.linears)
    layer += shape.norms * shape.hidden + shape.qk_norm_weights + (0 if shape.gated else 2)
    embeddings = shape.vocab * shape.hidden * (1 if shape.tied else 2)
    return shape.layers * layer + (shape.hidden if shape.norms else 0) + embeddings + shape.tower


def adapter_count(shape: Shape, r: int) -> int:
    """Parameters of a LoRA adapter on ``all-linear`` (the lm head is not in it): ``layers sum(r (in + out))``."""
    return shape.layers * sum(r * (linear.inputs + linear.outputs) for linear in shape.linears)


# Sizes of models this study is run on, so that a plan needs no download: vocab, hidden, layers, heads, kv_heads,
# head_dim, intermediate, as in the config.json of each on the hub; of EuroLLM and Salamandra as their model cards have
# them. Keyed by name without owner, for mirrors.
GEMMA3_TOWER = 419_816_304  # SigLIP at 896 pixels and the projector onto 2,560 features
KNOWN = {
    "meta-llama-3-8b-instruct": Shape(128256, 4096, 32, 32, 8, 128, 14336, positions=8192),
    "llama-2-7b-chat-hf": Shape(32000, 4096, 32, 32, 32, 128, 11008, positions=4096),
    "llama-3.1-8b-instruct": Shape(128256, 4096, 32, 32, 8, 128, 14336, positions=131072),
    "llama-3.2-1b-instruct": Shape(128256, 2048, 16, 32, 8, 64, 8192, tied=True, positions=131072),
    "llama-3.2-3b-instruct": Shape(128256, 3072, 28, 24, 8, 128, 8192, tied=True, positions=131072),
    "qwen2-7b-instruct": Shape(152064, 3584, 28, 28, 4, 128, 18944, qkv_bias=True, positions=32768),
    "qwen2.5-1.5b-instruct": Shape(151936, 1536, 28, 12, 2, 128, 8960, tied=True, qkv_bias=True, positions=32768),
    "qwen2.5-3b-instruct": Shape(151936, 2048, 36, 16, 2, 128, 11008, tied=True, qkv_bias=True, positions=32768),
    "qwen2.5-7b-instruct": Shape(152064, 3584, 28, 28, 4, 128, 18944, qkv_bias=True, positions=32768),
    "qwen3-4b-instruct-2507": Shape(151936, 2560, 36, 32, 8, 128, 9728, tied=True, positions=262144, qk_norm="head"),
    "gemma-2-2b-it": Shape(256000, 2304, 26, 8, 4, 256, 9216, tied=True, positions=8192, norms=4),
    "gemma-2-9b-it": Shape(256000, 3584, 42, 16, 8, 256, 14336, tied=True, positions=8192, norms=4),
    "gemma-3-1b-it": Shape(262144, 1152, 26, 4, 1, 256, 6912, tied=True, positions=32768, norms=4, qk_norm="head"),
    "gemma-3-4b-it": Shape(
        262208, 2560, 34, 8, 4, 256, 10240, tied=True, positions=131072, norms=4, qk_norm="head", tower=GEMMA3_TOWER
    ),
    "eurollm-9b-instruct": Shape(128000, 4096, 42, 32, 8, 128, 12288, positions=4096),
    "salamandra-2b-instruct": Shape(256000, 2048, 24, 16, 16, 128, 5440, positions=8192),
    "salamandra-7b-instruct": Shape(256000, 4096, 32, 32, 8, 128, 11008, positions=8192),
    "smollm2-135m-instruct": Shape(49152, 576, 30, 9, 3, 64, 1536, tied=True, positions=8192),
}
KNOWN_SEQ2SEQ = {"nllb-200-distilled-600m": Seq2SeqShape(256206, 1024, 12, 12, 4096, 4096, 1024)}
