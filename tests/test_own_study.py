"""A study in languages that the project has never heard of, on prompts of one's own: as docs/extending.md says it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Server

from ldr_utils.commands.here import execute_here
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import StudyParams, load_params
from ldr_utils.study.paths import ROOT
from ldr_utils.study.stages import places, values

SECTION = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("\n## Your own prompts\n")[1]
TABLE, STUDY = (re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)[0] for kind in ("csv", "yaml"))
TESTED = ("en", "uk")  # in which there are test sets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page shows, and test sets in place of those that it would download."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "prompts.csv").write_text(TABLE, encoding="utf-8")
    text = STUDY.replace("extends: ", f"extends: {ROOT / 'params'}/").replace("set: my ", f"set: {tmp_path / 'my'} ")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    asked = {k: f"{k} + {k} = ?" for k in (2, 3)}
    for lang in TESTED:
        files: dict[str, list[dict[str, object]]] = {
            f"mgsm/mgsm_{lang}.jsonl": [{"query": text, "response": str(2 * k)} for k, text in asked.items()],
            f"x-alpacaeval/prompts/{lang}.json": [
                {"id": k, "dataset": "own", "instruction": text} for k, text in asked.items()
            ],
            f"x-alpacaeval/reference/{lang}.json": [
                {"instruction": text, "output": str(2 * k)} for k, text in asked.items()
            ],
        }
        for name, rows in files.items():
            path = tmp_path / "tests" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{json.dumps(row)}\n" for row in rows)
            path.write_text(lines if name.endswith("l") else json.dumps(rows), encoding="utf-8")
    return tmp_path


def overrides(folder: Path, *more: str) -> list[str]:
    small = ("mgsm_problems=2", "alpaca_prompts=2", "round_trip_sample=1", "threads=1")
    return [f"data_dir={folder / 'tests'}", *small, *more]


def play(study: StudyParams, run_dir: Path) -> str | None:
    """Execute what a study lacks in this process, in order; the line of the first stage that breaks."""
    for place in places(study):
        done = (run_dir / place.manifest).exists()
        said = None if done else execute_here(place.stage.notebook, values(study, place) | {"run_dir": str(run_dir)})
        if said:
            return f"{place.rule}: {said}"
    return None


def test_the_documented_study_runs_to_its_report(folder: Path, servers: tuple[Server, Server]) -> None:
    given, run_dir = overrides(folder, f"judge_url={servers[0].url}"), folder / "run"
    command = [sys.executable, "-m", "ldr_utils.cli", "run", str(folder / "mine.yaml"), "--out", str(run_dir)]
    words = [word for value in given for word in ("--set", value)]
    begun = subprocess.run([*command, "--until", "data", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert begun.returncode == 0, begun.stderr
    assert play(load_params(folder / "mine.yaml", given), run_dir) is None

    made = read_jsonl(run_dir / "prompts" / "iteration0" / "es.jsonl")
    lost = read_jsonl(run_dir / "prompts" / "iteration0" / "es.dropped.jsonl")
    assert [row["id"] for row in made] == ["2"]
    assert [(row["id"], row["reason"]) for row in lost] == [("1", "off_target")]
    counted = json.loads((run_dir / "prompts" / "manifest.json").read_text(encoding="utf-8"))["counts"]
    assert counted["made"] == {"iteration0": {"es": {"prompts": 1, "off_target": 1}}}
    gone = [row for row in read_jsonl(run_dir / "M0" / "pairs" / "dropped.jsonl") if row["reason"] == "no_prompt"]
    assert sorted((row["id"], row["lang"], row["via"]) for row in gone) == [("1", "en", "es"), ("1", "es", "en")]
    pairs = read_jsonl(run_dir / "M0" / "pairs" / "train.jsonl")
    assert {row["lang"] for row in pairs} == {"en", "es", "pt", "nl", "uk"}
    results = (run_dir / "results.csv").read_text(encoding="utf-8")
    assert all(f",{lang}," in results for lang in TESTED)


def test_a_language_that_loses_all_its_prompts_stops_the_study_in_one_line(folder: Path) -> None:
    """The micro model knows no Dutch: it answers in a language that it knows."""
    (folder / "my" / "prompts.csv").write_text("id,en\n1,How many cards does Anna have now?\n", encoding="utf-8")
    given = overrides(folder, "languages=[en, nl]", "prompts_per_iteration=1")
    said = play(load_params(folder / "mine.yaml", given), folder / "run")
    assert said is not None
    assert re.match(r"prompts: translate_prompts: all 1 prompts of iteration0 were lost in nl \(\w+ 1\); ", said)
    assert not (folder / "run" / "prompts" / "manifest.json").exists()
