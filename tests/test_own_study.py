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
TESTED = ("en", "es", "pt", "nl", "uk")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page shows, and test sets in place of those that it would download."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "prompts.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        STUDY.replace("extends: ", f"extends: {ROOT / 'params'}/").replace("train_set: my ", f"train_set: {tmp_path}/my "),
        encoding="utf-8",
    )
    for lang in TESTED:
        sums = [{"query": f"{k} + {k} = ?", "response": str(2 * k)} for k in (2, 3)]
        asked = [{"id": k, "dataset": "own", "instruction": f"{k} + {k} = ?"} for k in (2, 3)]
        known = [{"instruction": f"{k} + {k} = ?", "output": str(2 * k)} for k in (2, 3)]
        lines = "".join(json.dumps(row) + "\n" for row in sums)
        for name, text in {
            f"mgsm/mgsm_{lang}.jsonl": lines,
            f"x-alpacaeval/prompts/{lang}.json": json.dumps(asked),
            f"x-alpacaeval/reference/{lang}.json": json.dumps(known),
        }.items():
            (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tests" / name).write_text(text, encoding="utf-8")
    return tmp_path


def overrides(folder: Path, *more: str) -> list[str]:
    return [f"data_dir={folder / 'tests'}", "mgsm_problems=2", "alpaca_prompts=2", "round_trip_sample=1", *more]


def play(study: StudyParams, run_dir: Path, *names: str) -> str | None:
    """Execute the stages of a study in this process, in order; the line of the first that breaks."""
    for place in places(study):
        if (not names or place.stage.name in names) and not (run_dir / place.manifest).exists():
            if said := execute_here(place.stage.notebook, values(study, place) | {"run_dir": str(run_dir)}):
                return f"{place.rule}: {said}"
    return None


def test_the_documented_study_runs_to_its_report(folder: Path, servers: tuple[Server, Server]) -> None:
    given = overrides(folder, f"judge_url={servers[0].url}")
    words = [word for value in given for word in ("--set", value)]
    run_dir = folder / "run"
    command = [sys.executable, "-m", "ldr_utils.cli", "run", str(folder / "mine.yaml"), "--out", str(run_dir)]
    started = subprocess.run(
        [*command, "--until", "data", *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert started.returncode == 0, started.stderr
    study = load_params(folder / "mine.yaml", given)
    assert play(study, run_dir) is None

    made = read_jsonl(run_dir / "prompts" / "iteration0" / "es.jsonl")
    lost = read_jsonl(run_dir / "prompts" / "iteration0" / "es.dropped.jsonl")
    assert [row["id"] for row in made] == ["2"]
    assert [(row["id"], row["reason"]) for row in lost] == [("1", "off_target")]
    counted = json.loads((run_dir / "prompts" / "manifest.json").read_text(encoding="utf-8"))["counts"]
    assert counted["made"] == {"iteration0": {"es": {"prompts": 1, "off_target": 1}}}
    gone = [row for row in read_jsonl(run_dir / "M0" / "pairs" / "dropped.jsonl") if row["reason"] == "no_prompt"]
    assert sorted((row["id"], row["lang"], row["via"]) for row in gone) == [("1", "en", "es"), ("1", "es", "en")]
    results = (run_dir / "results.csv").read_text(encoding="utf-8")
    assert all(f",{lang}," in results for lang in TESTED)
