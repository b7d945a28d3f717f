"""A shrunk model: its own architecture, tokenizer and stops, and weights that say a few words and end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ldr_utils.commands.shrink import reduced, shrink, small_files
from ldr_utils.commands.stand_ins import FAMILIES, make_stand_in
from ldr_utils.study.errors import InputError

BY_ARCHITECTURE = {family.architecture: name for name, family in FAMILIES.items()}
CHATS = {arch: name for arch, name in BY_ARCHITECTURE.items() if arch not in ("mistral", "muse_glimmer_text")}
PROMPTS = [
    ("It is 18.</translated> 18 So", ""),
    ("How many are 9 and 9? " * 5, ""),
    ("Translate: 18", "<translated>\n"),
]


def answers(folder: Path, penalty: float, dtype: Any = torch.float32) -> set[tuple[str, bool]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = set()
    for user, prefill in PROMPTS:
        chat = [{"role": "user", "content": user}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) + prefill
        asked = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        (ids,) = model.generate(**asked, max_new_tokens=24, do_sample=False, repetition_penalty=penalty)
        written = ids[asked.input_ids.shape[1] :]
        found.add((tokenizer.decode(written, skip_special_tokens=True), len(written) < 24))
    return found


@pytest.mark.parametrize("name", CHATS.values(), ids=CHATS)
def test_every_architecture_says_the_words_closes_the_tag_and_ends(name: str, tmp_path: Path) -> None:
    make_stand_in(tmp_path / "whole", name)
    said = shrink(tmp_path / "whole", tmp_path / "small")
    text = "".join(said).partition("</translated>")[0] + "</translated>"
    assert text in ("It is 18.</translated>", "18</translated>")
    assert answers(tmp_path / "small", 1.1) == {(text, True)}
    assert answers(tmp_path / "small", 1.1, torch.bfloat16) == {(text, True)}


def test_it_is_small_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    make_stand_in(tmp_path / "whole", "gemma3")
    shrink(tmp_path / "whole", tmp_path / "small")
    before, after = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("whole", "small"))
    kept = ("model_type", "vocab_size", "max_position_embeddings", "sliding_window", "tie_word_embeddings")
    assert [after[key] for key in kept] == [before[key] for key in kept]
    assert set(after["layer_types"]) == set(before["layer_types"])
    assert after["num_hidden_layers"] == len(after["layer_types"]) == 2
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "small" / "model.safetensors").stat().st_size < 10 * 2**20


def test_ours_can_be_shrunk_like_any_other(tmp_path: Path) -> None:
    shrink(small_files("models/micro"), tmp_path / "small")
    assert answers(tmp_path / "small", 1.0) == {("18</translated>", True)}


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_5"])
def test_a_model_that_sees_too_keeps_its_wrapper(kind: str) -> None:
    from transformers import AutoConfig

    config: Any = AutoConfig.for_model(kind)
    small = reduced(config)
    assert type(small) is type(config)
    assert small.get_text_config().hidden_size == small.vision_config.hidden_size == 128


def test_a_tokenizer_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    make_stand_in(tmp_path / "whole", "qwen3")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    (tmp_path / "whole" / "config.json").write_text(json.dumps(config | {"vocab_size": 2000}))
    with pytest.raises(
        InputError, match=r"^base_model: .*whole: the tokenizer has 2,\d+ tokens, the model 2,000; give"
    ):
        shrink(tmp_path / "whole", tmp_path / "small")


def test_an_architecture_that_is_not_known_is_one_line(tmp_path: Path) -> None:
    make_stand_in(tmp_path / "whole", "qwen3")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    (tmp_path / "whole" / "config.json").write_text(json.dumps(config | {"model_type": "of_tomorrow"}))
    with pytest.raises(InputError, match=r"^base_model: .*whole cannot be shrunk \(.*of_tomorrow.*$"):
        shrink(tmp_path / "whole", tmp_path / "small")
