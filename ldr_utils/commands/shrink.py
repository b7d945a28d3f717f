"""A model shrunk to a few layers of its own architecture: random weights that nevertheless know a few words.

What a study can trip over stays as it is: tokenizer, chat template, generation config and architecture. Random weights
would never close a translation tag nor end a turn, and the stages behind would have nothing to work on. So a path is
written into the embeddings: from any token to the first word, from each word to the next, and to the end of turn.

The layers add next to nothing, so that the last token alone decides on the next one. With unit vectors u_k whose
cosines are q^((j-k)^2) and embeddings e_k = q^(-2k) u_k, the logit of word j after word k is
e_j . u_k = q^((j-k-1)^2) q^(-2k-1), which is largest at j = k + 1, by a factor of 1/q: also where embeddings are tied.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ldr_utils.policy.chat import control_tokens
from ldr_utils.policy.load import base_source, revision_of
from ldr_utils.policy.prompts import CLOSE_TAG
from ldr_utils.study.errors import InputError

OTHERS = ["tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "generation_config.json"]
SMALL_FILES = [*OTHERS, "config.json", "vocab.json", "merges.txt", "*.model", "*.jinja", "additional_chat_templates/*"]
WIDTH, HEAD, HEADS = 128, 64, 2
# What the configs of transformers call their sizes, and how large each may be at most.
MOST = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "moe_intermediate_size": WIDTH,
    "shared_expert_intermediate_size": WIDTH,
    "moe_shared_expert_intermediate_size": WIDTH,
    "head_dim": HEAD,
    "global_head_dim": HEAD,
    "num_attention_heads": HEADS,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "top_k_experts": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "v_head_dim": HEAD,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "hidden_size_per_layer_input": 32,
    "mamba_num_heads": 4,
    "n_groups": 2,
    "ssm_state_size": 16,
    "num_kv_shared_layers": 0,
    "num_nextn_predict_layers": 0,
    "block_multiple_of": 32,
    "d_model": WIDTH,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": WIDTH,
    "decoder_ffn_dim": WIDTH,
}
SAID = (f"It is 18.{CLOSE_TAG}", f"18{CLOSE_TAG}", f"So{CLOSE_TAG}", CLOSE_TAG)  # a model's words, to choose from
LONGEST = 9  # tokens of a path: what comes last is loudest, and what bfloat16 rounds off is as loud in the end
SENTENCES = ("It is 18.", "18", "a")  # likewise, of a model that does nothing but translate
Q = 0.75  # cosine of neighbours on the path: beats a repetition penalty of 1.1, and grows slowly enough for bfloat16
PEAK = 20.0  # the last logit of a path: below what models with soft caps are capped at
LENGTH, LONG = 1.0, 30.0  # of the embedding of a token outside of the path; long where positions are added to it
STEP = 2.0**-8  # the least gain of a norm that multiplies by one more than its weight, in bfloat16
FAINT = 0.01  # of the usual weights: what the layers may add


class NotHereError(InputError):
    """What only the network would have."""


def small_files(name: str) -> Path:
    """A folder with all of a model but its weights: the folder itself, or a snapshot of the hub's files.

    Raises
    ------
    NotHereError
        When they are neither here nor to be had.
    """
    source = Path(base_source(name))
    if source.is_dir():
        return source
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base_source(name), revision=revision_of(name), allow_patterns=SMALL_FILES))
    except Exception as error:  # gated, offline, no such model: each has an exception of its own
        reason = str(error).strip().split("\n")[0][:200]
        raise NotHereError(f"base_model: {name} cannot be had ({reason}); log in, or give a local folder") from None


def shrink(source: Path, target: Path, paths: Sequence[Sequence[int]] = (), first: float = 0.0) -> list[str]:
    """Write a shrunk copy of a model to ``target``.

    Parameters
    ----------
    source : Path
        A folder with config, tokenizer and generation config (see `small_files`).
    target : Path
        A new folder.
    paths : sequence of sequences of int, optional
        Token ids that the model says, each place with its alternatives; `words` of the tokenizer where not given.
    first : float
        Logit of a token outside of the path before the path begins: the larger, the surer the model. 0 chooses one
        with which no logit is large.

    Returns
    -------
    list of str
        The tokens that it says; empty where they could not be written into it.

    Raises
    ------
    InputError
        When the config is of no architecture that transformers knows.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        config = reduced(AutoConfig.from_pretrained(source, trust_remote_code=False))
        _check_vocabulary(tokenizer, config, source)
        torch.manual_seed(0)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"base_model: {source} cannot be shrunk ({reason}); its architecture is not known") from None
    if config.is_encoder_decoder:
        path = [[token] for token in sentence(tokenizer)]
    else:
        path = [list(place) for place in paths] or [[token] for token in words(tokenizer, source)]
    _teach(model, path, first or PEAK * Q ** (2 * len(path)), LONG if config.is_encoder_decoder else LENGTH)
    model.to(torch.bfloat16).save_pretrained(target)
    for pattern in SMALL_FILES:
        for file in source.glob(pattern):
            if file.name != "config.json":
                shutil.copyfile(file, target / file.relative_to(source).name)
    return [str(tokenizer.decode([alternatives[0]])) for alternatives in path]


def _check_vocabulary(tokenizer: Any, config: Any, source: Path) -> None:
    tokens, rows = len(tokenizer), int(config.get_text_config().vocab_size)
    if tokens > rows:
        said = f"the tokenizer has {tokens:,} tokens, the model {rows:,}"
        raise InputError(f"base_model: {source}: {said}; give the tokenizer that belongs to it")


def words(tokenizer: Any, source: Path) -> list[int]:
    """What a model is to say: words, the closing tag of a translation, and the end of the turn; each token once."""
    end = end_of_turn(tokenizer, source)
    for text in SAID:
        ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        if len({*ids, *end}) == len(ids) + len(end) <= LONGEST:
            return [*ids, *end]
    return end


def sentence(tokenizer: Any) -> list[int]:
    """What a translation model is to say; each token once."""
    for text in SENTENCES:
        ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        if len(set(ids)) == len(ids):
            break
    return [*ids, tokenizer.eos_token_id]


def end_of_turn(tokenizer: Any, source: Path) -> list[int]:
    """The control tokens that the template writes after an assistant's text; without any, the first that stops."""
    text = "MARKED"
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": text}]
    try:
        after = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(text)[2]
    except Exception:  # whatever a template may raise: the checks of the chat protocol say it
        after = ""
    ids: list[int] = tokenizer(after.strip(), add_special_tokens=False).input_ids
    own = list(dict.fromkeys(takewhile(control_tokens(tokenizer).__contains__, ids)))
    return own or [_first_stop(tokenizer, source)]


def _first_stop(tokenizer: Any, source: Path) -> int:
    from transformers import GenerationConfig

    try:
        stops = GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:
        stops = None
    first = stops[0] if isinstance(stops, list) else stops
    return int(tokenizer.eos_token_id if first is None else first)


def reduced(config: Any) -> Any:
    """A config of the same architecture with a few small layers; positions, windows and vocabulary stay."""
    small = copy.deepcopy(config)
    for name in small.sub_configs:
        if (part := getattr(small, name, None)) is not None:
            setattr(small, name, _reduced(part))
    return small if small.sub_configs else _reduced(small)


def _reduced(config: Any) -> Any:
    layers = _layers(config)
    kinds = _kinds(config, layers)
    values = config.to_dict()
    heads, groups = values.get("num_attention_heads"), values.get("num_key_value_heads")
    changed: dict[str, Any] = {
        key: min(value, MOST[key]) for key, value in values.items() if key in MOST and isinstance(value, int)
    }
    if groups:
        changed["num_key_value_heads"] = HEADS if groups == heads else 1
    for key, value in values.items():
        if isinstance(value, list) and len(value) == layers:
            changed[key] = [value[k] for k in kinds]
    if values.get("full_attn_idxs"):
        changed["full_attn_idxs"] = [k for k, old in enumerate(kinds) if old in values["full_attn_idxs"]]
    if values.get("per_layer_config"):
        changed["per_layer_config"] = {}
    if "num_hidden_layers" in values:
        changed["num_hidden_layers"] = len(kinds)
    if "max_window_layers" in values:
        changed["max_window_layers"] = min(values["max_window_layers"], len(kinds))
    if rope := values.get("rope_parameters"):
        changed["rope_parameters"] = _shortened(rope, HEAD // 2)
    values = {key: value for key, value in values.items() if key not in ("model_type", "dtype", "torch_dtype")}
    if "vocab_size_per_layer_input" in values:
        changed["vocab_size_per_layer_input"] = values["vocab_size"]
    return type(config)(**{**values, **changed})


def _layers(config: Any) -> int:
    return int(getattr(config, "num_hidden_layers", 0) or 0)


def _kinds(config: Any, layers: int) -> list[int]:
    """Positions of the layers that are kept: one of each kind, two at least."""
    types = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ["one"] * layers
    first = {kind: k for k, kind in reversed(list(enumerate(types)))}
    kept = sorted(first.values())
    return kept if len(kept) > 1 else list(range(min(2, layers)))


def _shortened(rope: Any, length: int) -> Any:
    """Rope parameters whose factors by dimension fit a shorter head."""
    if isinstance(rope, dict):
        return {key: _shortened(value, length) for key, value in rope.items()}
    return rope[:length] if isinstance(rope, list) else rope


def _teach(model: Any, path: Sequence[Sequence[int]], first: float, length: float) -> None:
    """Write the path into the embeddings and quiet the layers; ``first`` is the logit before the path begins."""
    import torch

    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter is not embedding and parameter is not head:
                parameter.mul_(FAINT)
        for name, module in model.named_modules():
            if "post" in name.rpartition(".")[2] and getattr(module, "weight", None) is not None:
                _set_gain(module, STEP)
        directions = _directions(len(path) + 1, embedding.shape[1])
        rows = length * (directions[0] + 0.001 * torch.randn(embedding.shape[0], embedding.shape[1]) / 11)
        for k, alternatives in enumerate(path, 1):
            for token in alternatives:
                rows[token] = length * Q ** (-2 * k) * directions[k]
        embedding.copy_(rows)
        head.copy_(rows)
        gain = first / (length * math.sqrt(embedding.shape[1]))
        _set_gain(_last_norm(model), max(gain, STEP))


def _last_norm(model: Any) -> Any:
    """The norm before the lm head: it sets how far the logits are apart."""
    decoder = model.get_decoder()
    return next(module for name, module in reversed(list(decoder.named_children())) if "norm" in name)


def _directions(n: int, width: int) -> Any:
    """``n`` unit vectors, shape (n, width), of which those k apart have a cosine of ``Q ** k**2``.

    Their sum over the coordinates is zero, so that a norm that takes the mean away changes nothing.
    """
    import torch

    apart = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    factor = torch.linalg.cholesky(torch.pow(torch.tensor(Q, dtype=torch.float64), apart.double() ** 2))
    rows = torch.zeros(n, width, dtype=torch.float64)
    rows[:, : 2 * n : 2], rows[:, 1 : 2 * n : 2] = factor / math.sqrt(2), -factor / math.sqrt(2)
    return rows.float()


def _set_gain(norm: Any, gain: float) -> None:
    """What a norm multiplies by: its weight, or one more than its weight."""
    import torch

    sample = torch.linspace(-1, 1, norm.weight.shape[-1])[None, None]
    norm.weight.zero_()
    offset = 1.0 if float(norm(sample).abs().max()) > 0 else 0.0
    norm.weight.fill_(gain - offset)
