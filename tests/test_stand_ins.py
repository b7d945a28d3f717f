"""Stand-ins for hub models: real tokenizers with the families' own control tokens, templates and architectures."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SHIPPED

from ldr_utils.commands.shapes import KNOWN
from ldr_utils.commands.stand_ins import FAMILIES, family_of, make_stand_in, make_tokenizer
from ldr_utils.policy.load import load_tokenizer
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import load_params

HUB_MODELS = {load_params(path).base_model for path in SHIPPED if load_params(path).source == "published"}
TEXT = "Ünïcode 日本, ไทย\n\n<translated> 2 * 9 = 18 </translated>"


@pytest.mark.parametrize("name", FAMILIES)
def test_text_comes_back_and_control_tokens_are_one_token(name: str, tmp_path: Path) -> None:
    make_tokenizer(tmp_path, name)
    tokenizer, family = load_tokenizer(str(tmp_path)), FAMILIES[name]
    assert tokenizer.decode(tokenizer(TEXT, add_special_tokens=False).input_ids) == TEXT
    for control in filter(None, (family.eos, family.bos, family.pad, *family.stops)):
        assert len(tokenizer(control, add_special_tokens=False).input_ids) == 1, control
    assert tokenizer.eos_token == family.eos
    assert tokenizer("x").input_ids.count(tokenizer.bos_token_id) == (1 if family.adds_bos else 0)


@pytest.mark.parametrize("name", ["llama3", "gemma2", "qwen3", "gptoss", "cohere2"])
def test_a_stand_in_is_a_model_without_weights(name: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    make_stand_in(tmp_path, name)
    tokenizer = load_tokenizer(str(tmp_path))
    stops = GenerationConfig.from_pretrained(tmp_path).eos_token_id
    assert AutoConfig.from_pretrained(tmp_path).model_type == FAMILIES[name].architecture
    assert tokenizer.convert_ids_to_tokens(stops) == list(FAMILIES[name].stops or (FAMILIES[name].eos,))
    assert not list(tmp_path.glob("*.safetensors"))


def test_every_model_of_the_params_files_has_a_family() -> None:
    assert {name: family_of(name) for name in [*HUB_MODELS, *KNOWN]}
    assert family_of("meta-llama/Meta-Llama-3-8B-Instruct") == "llama3"
    assert family_of("Qwen/Qwen3-4B-Instruct-2507") == "qwen3_instruct_2507"
    assert family_of("google/gemma-2-9b-it") == "gemma2"


def test_an_unknown_model_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^base_model: no stand-in is known for owner/nobody-7b; rehearse where"):
        family_of("owner/nobody-7b")
