"""``ldr chat``: answers through a pipe are the study's, a conversation is one, and the screen is safe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldr_utils.commands.chat import show
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.paths import ROOT


def talk(study: Path, said: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ldr_utils.cli", "chat", str(study), *words]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, input=said, capture_output=True, text=True, check=False, env=environment)


def test_it_answers_as_in_the_study_once_what_was_said_is_forgotten(study: Path) -> None:
    records = read_jsonl(study / "M2" / "answers" / "mgsm" / "es.jsonl")[:2]
    said = f"{records[0]['prompt']}\n\n/reset\n{records[1]['prompt']}\n"
    done = talk(study, said, "--model", "M2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [record["response"] for record in records]


def test_a_conversation_goes_on_beyond_what_the_model_reads(study: Path) -> None:
    """What was said goes with every question, so that the answers to one and the same change, and the oldest goes."""
    question = "Anna has 3 apples and buys 5 more. How many apples does Anna have now?"
    done = talk(study, 12 * f"{question}\n", "--model", "M0")
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) >= 12
    assert len(set(answers)) > 1


def test_marks_that_act_on_a_screen_are_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\x1b[2Jb\u202ec")
    assert capsys.readouterr().out == "a\\x1b[2Jb\\u202ec\n"


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--model", "M9"], "--model M9: is no model of"),
        (["--model", "best"], "choose from M0, M1, M2"),
        (["--model", "M2", "--arm", "sft"], "(arm sft); choose from M0, M1"),
        (["--model", "M1", "--arm", "no_nll"], "--arm no_nll: is no arm of"),
    ],
)
def test_a_model_that_the_run_lacks_is_one_line(study: Path, words: list[str], culprit: str) -> None:
    done = talk(study, "hello\n", *words)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    done = talk(tmp_path, "hello\n", "--model", "M0")
    assert done.returncode == 2
    assert "not a run folder" in done.stderr
