"""Bad input on the command line: exit 2, one line that names the culprit, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldr_utils.study.paths import ROOT

BAD = {
    "unknown key": ("lerning_rate: 0.1", "lerning_rate"),
    "wrong type": ("beta: high", "beta"),
    "impossible value": ("iterations: 0", "iterations"),
    "no dominant language": ("languages: [es, ru]\ndominant: en", "dominant"),
    "nothing but the dominant language": ("languages: [en]", "languages"),
    "unknown language": ("languages: [en, xx]", "xx"),
    "language that the data lacks": ("languages: [en, ja]", "ja"),
    "missing model": ("base_model: models/nothing", "models/nothing"),
    "missing absolute model": ("base_model: /nowhere/model", "/nowhere/model"),
    "per-run key": ("t: 1", "t"),
    "not a mapping": ("- one\n- two", "params.yaml"),
    "not YAML": ("beta: [1", "params.yaml"),
    "sft without NLL": ("arms: [lidr, sft]\nalpha: 0.0", "alpha"),
    "no main arm": ("arms: [sft]", "arms"),
}


def ldr(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ldr_utils.cli", *arguments], capture_output=True, text=True, check=False
    )


def assert_refused(done: subprocess.CompletedProcess[str], culprit: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().split("\n")) == 1, done.stderr
    assert culprit in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("text", "culprit"), BAD.values(), ids=BAD)
def test_bad_params_are_refused_in_one_line(tmp_path: Path, text: str, culprit: str) -> None:
    params, out = tmp_path / "params.yaml", tmp_path / "out"
    params.write_text(text + "\n")
    assert_refused(ldr("run", str(params), "--out", str(out)), culprit)
    assert not out.exists()


def test_missing_params_file_is_refused(tmp_path: Path) -> None:
    assert_refused(ldr("run", str(tmp_path / "none.yaml")), "none.yaml")


def test_bad_override_is_refused() -> None:
    assert_refused(ldr("run", "params/smoke.yaml", "--set", "beta"), "--set beta")


def test_a_path_that_is_no_utf8_is_refused() -> None:
    given: list[list[str | bytes]] = [["run", b"a\xff.yaml"], ["run", "a.yaml", "--out", b"\xff"], ["status", b"\xff"]]
    for arguments in given:
        words = [sys.executable, "-m", "ldr_utils.cli", *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert_refused(done, "is not UTF-8; rename the file or folder")


def test_a_terminal_without_the_characters_is_shown_their_codes() -> None:
    words = [sys.executable, "-m", "ldr_utils.cli", "doctor", "params/smoke.yaml", "--set", "base_model=modèle"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert (done.returncode, done.stderr) == (2, "")
    assert "mod\\xe8le does not exist" in done.stdout


def test_params_come_through_a_pipe() -> None:
    text = (ROOT / "params" / "smoke.yaml").read_text(encoding="utf-8")  # which extends a file: that of params/
    words = [sys.executable, "-m", "ldr_utils.cli", "run", "/dev/stdin", "--set", "sede=1"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert_refused(done, "--set: sede: unknown key")


def test_a_narrow_terminal_is_not_overrun(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "params.yaml").write_text((ROOT / "params" / "micro.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for arguments in (["doctor", "params/smoke.yaml"], ["status", str(run_dir)]):
        words = [sys.executable, "-m", "ldr_utils.cli", *arguments]
        environment = os.environ | {"COLUMNS": "40"}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
        assert done.stdout, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 40


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"response": "5", "answer": "5"}\n')
    command = [sys.executable, "-m", "ldr_utils.cli", "score-mgsm", str(file), "--lang", "en"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 0
