"""The judge's key: from the environment into the header of a request, and nowhere else."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY, Server

from ldr_utils.judges.open import make_judge
from ldr_utils.judges.verdicts import Case
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import AlpacaParams, JudgeParams, load_params


def params(server: Server, folder: Path) -> JudgeParams:
    return JudgeParams(judge="openai", judge_model="m", judge_url=server.url, run_dir=str(folder), judge_concurrency=1)


CASES = [Case({"id": "a", "lang": "en", "prompt": "a"}, "one", "two")]


@pytest.mark.parametrize("fault", ["401", "403", "404", "400", "422", "redirect", "malformed"])
def test_no_failure_shows_the_key(
    servers: tuple[Server, Server],
    tmp_path: Path,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Everything that could be read afterwards: exception with its causes, logs at their loudest, streams, files."""
    caplog.set_level(logging.DEBUG)
    server, other = servers
    server.faults = [fault] * 40
    judge = make_judge(params(server, tmp_path), ["en"])
    seen = repr(vars(judge)) + repr(getattr(judge, "model", ""))
    try:
        judge.prefer(CASES)
    except InputError as error:
        seen += "".join(traceback.format_exception(error))
    streams = capfd.readouterr()
    seen += caplog.text + streams.out + streams.err
    seen += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert server.keys[0] == f"Bearer {CANARY}", "the canary must have been on its way"
    assert CANARY not in seen
    assert not any(CANARY in key for key in other.keys), "a redirection must not take the key along"


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY} x", f"{CANARY}é", f"{CANARY}\r\nX-Evil: 1"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", key)
    with pytest.raises(InputError, match=r"^judge_key_env: JUDGE_API_KEY holds blanks") as caught:
        make_judge(JudgeParams(judge="openai", judge_model="m", run_dir=str(tmp_path)), ["en"])
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "line",
    [
        f"judge_url: http://user:{CANARY}@localhost/v1",
        f"judge_url: https://localhost/v1?key={CANARY}",
        f"judge_url: [http://user:{CANARY}@localhost]",
        f"judge_url: {{key: {CANARY}}}",
        f"judge_key_env: {CANARY}",
        f"judge_key_env: [{CANARY}]",
        f"judge_api_key: {CANARY}",
    ],
)
def test_a_key_in_the_params_is_refused_and_not_repeated(line: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    write_text(path, line + "\n")
    with pytest.raises(InputError) as caught:
        load_params(path)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_run_leaves_no_trace_of_the_key(servers: tuple[Server, Server], tmp_path: Path) -> None:
    """Two real stages: one that never asks, and the notebook of the judge on what it left, up to the key's refusal."""
    server, _ = servers
    study: dict[str, Any] = {
        "judge": "openai",
        "judge_model": "m",
        "judge_url": server.url,
        "study": "secret",
        "languages": ["en", "es"],
    }
    study |= {"languages": ["en", "es"], "unseen": []}
    study |= {"iterations": 1, "prompts_per_iteration": 2, "mgsm_problems": 2, "alpaca_prompts": 2}
    study |= {"max_new_tokens": 60, "threads": 1, "arms": ["lidr"]}
    path, out = tmp_path / "study.yaml", tmp_path / "out"
    write_text(path, json.dumps(study))
    command = [sys.executable, "-m", "ldr_utils.cli", "run", str(path), "--out", str(out), "--cores", "1"]
    server.faults = ["429", "500", "401"]
    said = ""
    for until in ("pairs", "premise"):
        done = subprocess.run([*command, "--until", until], capture_output=True, text=True, check=False, env=os.environ)
        said += done.stdout + done.stderr
    assert server.keys
    assert set(server.keys) == {f"Bearer {CANARY}"}, "the canary must have been on its way"
    assert re.search(r"04b_premise.* failed .*judge_key_env: .* refused the key in JUDGE_API_KEY \(401: ", said), said
    done = subprocess.run([*command, "--until", "premise"], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    files = [found for found in out.rglob("*") if found.is_file()]
    assert {"04b_premise.ipynb", "judge_cache.jsonl", "manifest.json", "params.yaml"} <= {found.name for found in files}
    assert not [found for found in files if CANARY.encode() in found.read_bytes()]
    assert CANARY not in said + done.stdout + done.stderr


def test_the_second_judge_has_no_key_of_its_own() -> None:
    assert not [name for name in AlpacaParams.model_fields if "key" in name and name != "judge_key_env"]
