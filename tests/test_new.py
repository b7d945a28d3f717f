"""``ldr new``: a params file by flags alone, by a conversation, or not at all."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldr_utils.cli import main
from ldr_utils.commands.questions import QUESTIONS
from ldr_utils.study.params import load_params
from ldr_utils.study.paths import ROOT

PT = "pt={name: Portuguese, flores: por_Latn, answer_phrases: [A resposta é, 'Resposta:'], decimal_comma: true}"


def made(tmp_path: Path, *words: str) -> dict[str, Any]:
    """What the file says that a command without a terminal writes."""
    assert main(["new", "mine", "--out", str(tmp_path), "--yes", *words]) == 0
    said: dict[str, Any] = yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))
    assert said.pop("study") == "mine"
    return said | {"extends": Path(said["extends"]).name}


def test_without_a_word_it_is_the_micro_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made(tmp_path) == {"extends": "micro.yaml"}
    said = capsys.readouterr().out.splitlines()
    assert "languages: en, es, ru, de, fr (by default)" in said
    assert [line.split()[:2] for line in said[-2:]] == [["ldr", "doctor"], ["ldr", "run"]]


MODEL = ("--model", "owner/model-7B")
CASES = {
    "80 GB": ((*MODEL, "--machine", "gpu-80"), {"base_model": "owner/model-7B", "system_prompt": ""}),
    "24 GB": ((*MODEL, "--machine", "gpu-24"), {"quantization": "nf4", "backend": "vllm", "warmup_steps": 50}),
    "a T4": ((*MODEL, "--machine", "16"), {"judge": "local", "judge_model": "owner/model-7B", "arms": ["lidr"]}),
    "a processor": ((*MODEL, "--machine", "cpu"), {"backend": "transformers", "prompts_per_iteration": 24}),
    "a word problem": (
        (*MODEL, "--machine", "gpu-80", "--prompts", "gsm8k", "--languages", "en, fr"),
        {"train_set": "gsm8k", "languages": ["en", "fr"], "unseen": [], "warmup_steps": 25},
    ),
    "a judge to load": (
        (*MODEL, "--machine", "gpu-80", "--judge", "models/micro"),
        {"judge": "local", "judge_model": "models/micro", "judge_url": ""},
    ),
    "an endpoint": (
        (*MODEL, "--machine", "cpu", "--judge", "http://localhost:9/v1", "--judge-model", "mine"),
        {"judge_model": "mine", "judge_url": "http://localhost:9/v1"},
    ),
    "numbers": (("--iterations", "1", "--prompts-per-iteration", "50"), {"iterations": 1, "warmup_steps": 1}),
    "anything else": (("--set", "seed=12", "--unseen", "sw"), {"seed": 12, "unseen": ["sw"]}),
    "another dominant language": (("--languages", "es,ru", "--dominant", "ru"), {"dominant": "ru"}),
}


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES)
def test_every_answer_has_a_flag(tmp_path: Path, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    said = made(tmp_path, *words)
    assert {key: said.get(key) for key in expected} == expected
    assert said["extends"] == ("llama3-8b.yaml" if MODEL[0] in words else "micro.yaml")


def test_every_line_says_what_it_is_and_nothing_is_repeated(tmp_path: Path) -> None:
    said = made(tmp_path, *MODEL, "--machine", "gpu-24", "--languages", "en,th", "--record", "th={name: Siamese}")
    assert said["language_records"] == {"th": {"name": "Siamese"}}
    path = tmp_path / "mine.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert max(len(line) for line in lines if not line.startswith("extends")) <= 120
    keys = [k for k, line in enumerate(lines) if line[:1].isalpha() and not line.startswith("extends")]
    assert all("# " in lines[k] or lines[k - 1].startswith("# ") for k in keys)
    base = load_params(ROOT / "params" / said["extends"]).model_dump()
    given = load_params(path).model_dump(include=set(said) | {"study"})
    assert [key for key, value in given.items() if value == base[key]] == []


REFUSED = {
    "a name that is none": (["../mine"], "study"),
    "no folder and no hub name": (["mine", "--model", "nowhere"], "--model: nowhere does not exist"),
    "no machine": (["mine", "--machine", "large"], "--machine: large is no machine"),
    "no code": (["mine", "--languages", "en,Portuguese"], "--languages: Portuguese is no code"),
    "one language": (["mine", "--languages", "en"], "--languages: one language"),
    "a language without a record": (["mine", "--languages", "en,pt"], "--record 'pt={name"),
    "a record that is none": (["mine", "--record", "pt=Portuguese"], "--record pt: write it like"),
    "half a record": (["mine", "--record", "pt={name: Portuguese}"], "pt.flores: is missing"),
    "a dominant language of none": (["mine", "--dominant", "sw"], "--dominant: sw is not among"),
    "trained on and unseen": (["mine", "--unseen", "es"], "--unseen: es is trained on"),
    "no prompts": (["mine", "--prompts", "nowhere"], "--prompts: nowhere is no folder"),
    "a language without data": (["mine", "--languages", "en,ja"], "languages: ja"),
    "a judge that knows no such prompts": (["mine", *MODEL, "--machine", "cpu", "--judge", "rubric"], "judge: "),
    "an endpoint that serves what?": (["mine", "--judge", "http://localhost:9/v1"], "--judge-model: is missing"),
    "a name without an endpoint": (["mine", "--judge-model", "x"], "--judge-model: has no meaning"),
    "no number": (["mine", "--iterations", "two"], "--iterations: two is no number"),
    "an unknown key": (["mine", "--set", "sede=1"], "sede: unknown key"),
    "no value": (["mine", "--set", "seed"], "--set seed"),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["new", *words, "--yes", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("study: mine\n")
    assert main(["new", "mine", "--yes", "--out", str(tmp_path)]) == 2
    assert "is there already; choose another name" in capsys.readouterr().err
    assert path.read_text() == "study: mine\n"


class Terminal:
    """``ldr new`` with a person at a terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.keyboard, terminal = pty.openpty()
        command = [sys.executable, "-m", "ldr_utils.cli", "new", "mine", "--out", str(folder), *words]
        self.process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a background job may ignore it
        )
        os.close(terminal)

    def type(self, *lines: str) -> None:
        os.write(self.keyboard, "".join(f"{line}\n" for line in lines).encode())

    def end(self) -> tuple[int, str, str]:
        output, errors = self.process.communicate(timeout=60)
        os.close(self.keyboard)
        return self.process.returncode, output, errors


def test_a_person_is_asked_and_asked_again(tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "prompts.csv").write_text("id,en,pt\n1,Hello.,Olá.\n", encoding="utf-8")
    terminal = Terminal(tmp_path, "--machine", "gpu-80")
    terminal.type("nowhere", "owner/model-7B", "en,Spanish", "en,es,pt", "", "")  # languages, dominant, unseen
    terminal.type("Portuguese", "Brazil", "por_Latn", "A resposta é, Resposta:", "maybe", "yes", "")
    terminal.type(str(tmp_path / "my"), "", "", "", "2", "50")  # prompts, who translates es, judge, its name, numbers
    code, output, errors = terminal.end()
    assert code == 0, errors
    for again in ("nowhere does not", "Spanish is no code", "Brazil is no FLORES", "maybe is neither"):
        assert again in output
    study = load_params(tmp_path / "mine.yaml")
    assert study.language_records == {"pt": yaml.safe_load(PT.partition("=")[2])}
    assert (study.train_set, study.translate_prompts) == (str(tmp_path / "my"), "self")
    assert (study.judge, study.judge_url, study.prompts_per_iteration) == ("openai", "http://localhost:8000/v1", 50)


def test_answers_that_end_early_write_nothing(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.type("models/micro", "\x04")
    code, _, errors = terminal.end()
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "the answers ended at --machine" in errors


def test_ctrl_c_writes_nothing(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert terminal.process.stdout is not None
    assert terminal.process.stdout.read(5) == QUESTIONS[0].asks[:5]
    while "(sleeping)" not in Path(f"/proc/{terminal.process.pid}/status").read_text():  # it waits for the answer
        time.sleep(0.01)
    terminal.process.send_signal(signal.SIGINT)
    code, _, errors = terminal.end()
    assert (code, errors.strip(), list(tmp_path.iterdir())) == (130, "ldr: stopped; nothing is written", [])
