"""docs/extending.md and docs/extending-code.md, followed to the letter on a copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from conftest import run_smoke

from ldr_utils.languages.table import Language, record_of
from ldr_utils.study.paths import ROOT

OVERVIEW, CODE = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("extending", "extending-code")
)
PAGE = f"{OVERVIEW}\n{CODE}"
COPIED = ("ldr_utils", "notebooks", "params", "Snakefile", "pyproject.toml")


def example(section: str) -> dict[str, list[tuple[str, str]]]:
    """The patch in a section: by file, what stands there and what is to stand there."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```diff\n(.*?)```", text, re.DOTALL)
    found: dict[str, list[tuple[str, str]]] = {}
    for part in block.split("--- ")[1:]:
        name, _, lines = part.partition("\n")
        rows = [line for line in lines.split("\n") if line]
        old = "\n".join(line[1:] for line in rows if line[0] in " -")
        new = "\n".join(line[1:] for line in rows if line[0] in " +")
        found.setdefault(name, []).append((old, new))
    return found


def yaml_of(section: str) -> str:
    """The params that a section shows."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return str(block)


def follow(section: str, copy: Path) -> list[str]:
    """Apply a section's patch, and return the files that it changes."""
    for name, patches in example(section).items():
        path = copy / name
        for old, new in patches:
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{section}: {name} has no longer what the example starts from: {old}"
            path.write_text(text.replace(old, new), encoding="utf-8")
    return list(example(section))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    (root / "models").symlink_to(ROOT / "models")
    return root


def python(copy: Path, code: str) -> str:
    """What a Python of the copy prints."""
    words = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}
    return subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, check=True).stdout


def started(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr[-3000:]
    return {line[1:].removesuffix("] started") for line in done.stderr.splitlines() if line.endswith("] started")}


def written(run_dir: Path) -> dict[str, int]:
    """When every file of a finished stage was written."""
    found = [path for path in run_dir.rglob("*") if path.is_file() and path.parent.name not in ("report", "summary")]
    kept = {path for path in found if path.suffix in (".jsonl", ".safetensors", ".csv") and path.name != "results.csv"}
    return {path.relative_to(run_dir).as_posix(): path.stat().st_mtime_ns for path in kept}


def test_an_arm_more_leaves_a_finished_study_where_it_is(study: Path, copy: Path) -> None:
    """The run folder came from another clone: that it is complete here is part of the test."""
    out = copy / "runs" / "smoke"
    shutil.copytree(study, out)
    before = written(out)
    assert started(run_smoke(out, root=copy)) == set()
    assert follow("An arm", copy) == ["ldr_utils/study/arms.py"]
    done = run_smoke(out, "--set", "arms=[lidr, sft, strong_anchor]", root=copy)
    own = {"05_qlora_dpo", "05b_answers", "06_x_alpacaeval", "07_mgsm", "07b_alignment_tax"}
    assert started(done) == {*(f"M1 strong_anchor {name}" for name in own), "08_report"}
    after = written(out)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[1] for name in after.keys() - before.keys() if name.startswith("arms")} == {"strong_anchor"}
    assert "strong anchor" in (out / "report" / "notebooks" / "M2" / "08_report.html").read_text(encoding="utf-8")


def test_an_objective_trains(copy: Path) -> None:
    files = follow("An objective", copy)
    assert len(set(files)) == 3
    code = (
        "import torch; from ldr_utils.method.loss import OBJECTIVES, Sides; x = torch.tensor([-2.0, -3.0]);"
        "print(OBJECTIVES['ipo'].loss(Sides(x, torch.tensor([2, 3]), x - 1, x, x), 0.5, 1.0).total.item());"
        "from ldr_utils.study.params import StudyParams;"
        "print(StudyParams(arms=['lidr', 'ipo']).for_arm('ipo')['objective'])"
    )
    assert python(copy, code).split() == ["0.0", "ipo"]


def test_a_decoding_parameter_is_declared_once_and_stamped(copy: Path) -> None:
    files = follow("A parameter", copy)
    assert len(files) == 3
    python(copy, "import runpy; runpy.run_module('ldr_utils.commands.stamp', run_name='__main__')")
    line = "min_new_tokens = 0  # help: shortest answer in tokens"
    having = [path.stem for path in (copy / "notebooks").glob("*.ipynb") if line in path.read_text(encoding="utf-8")]
    assert sorted(having) == ["01b_prompts", "02_generation", "03_translation", "05b_answers", "07b_alignment_tax"]
    assert yaml.safe_load((copy / "params" / "micro.yaml").read_text(encoding="utf-8"))["min_new_tokens"] == 0


def test_a_benchmark_is_a_row_of_two_tables(copy: Path) -> None:
    follow("A benchmark", copy)
    params = copy / "ldr_utils" / "study" / "params.py"
    text = params.read_text(encoding="utf-8").replace(
        '    "08_report": ReportParams,', '    "07e_msvamp": MgsmParams,\n    "08_report": ReportParams,'
    )
    params.write_text(text, encoding="utf-8")
    shutil.copy(copy / "notebooks" / "07_mgsm.ipynb", copy / "notebooks" / "07e_msvamp.ipynb")
    code = (
        "from ldr_utils.study.params import StudyParams; from ldr_utils.study.stages import places;"
        "print(*[place.folder for place in places(StudyParams(iterations=1)) if place.stage.name == 'msvamp'])"
    )
    assert python(copy, code).split() == ["M0/msvamp", "M1/msvamp", "arms/sft/M1/msvamp"]


def test_a_base_model_is_a_short_params_file(copy: Path) -> None:
    block = yaml_of("A base model")
    path = copy / "params" / "mistral-7b.yaml"
    path.write_text(block, encoding="utf-8")
    code = f"from ldr_utils.study.params import Path, load_params; p = load_params(Path({str(path)!r}))"
    assert python(copy, f"{code}; print(p.base_model, p.max_new_tokens)").split() == [
        "mistralai/Mistral-7B-Instruct-v0.3",
        "2400",
    ]


def test_a_language_is_a_record_with_every_key_there_is() -> None:
    ((lang, record),) = yaml.safe_load(yaml_of("A language"))["language_records"].items()
    assert set(record) == {field.name for field in fields(Language)}
    assert record_of(lang, record).name == "Portuguese"


def test_the_table_counts_the_files_of_the_examples() -> None:
    counts = {section: len(example(section)) for section in ("An arm", "An objective", "A parameter")}
    assert counts == {"An arm": 1, "An objective": 3, "A parameter": 3}
    assert "| [an arm](#an-arm) of existing parameters | 1: " in OVERVIEW
    assert "| [an arm with a new objective](extending-code.md#an-objective) | 3: " in OVERVIEW
    assert "| [a decoding parameter](extending-code.md#a-parameter) | 3: " in OVERVIEW
