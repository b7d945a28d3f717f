"""Models are loaded as they were made to be run."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM

from ldr_utils.policy.load import load_weights


def test_attention_is_capped_where_the_model_says_so(tmp_path: Path) -> None:
    """Gemma 2: what transformers loads by default leaves the cap out, and answers with other logits."""
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "query_pre_attn_scalar": 16}
    torch.manual_seed(0)
    config = Gemma2Config(**sizes, **heads, attn_logit_softcapping=0.5, initializer_range=1.0)
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    ids = torch.arange(2, 30)[None]
    with torch.inference_mode():
        ours = load_weights(AutoModelForCausalLM, "base_model", str(tmp_path), "float32")(ids).logits
        capped = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")(ids).logits
        default = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
    assert torch.equal(ours, capped)
    assert not torch.allclose(ours, default, atol=0.1)
