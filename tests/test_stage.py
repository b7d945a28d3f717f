"""A stage's life: the manifest comes last, partial work survives only for the same code, parameters and inputs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.study.errors import InputError
from ldr_utils.study.manifests import damaged
from ldr_utils.study.params import NOTEBOOKS as SCHEMAS
from ldr_utils.study.params import GenerationParams, TrainingParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.provenance import code_hash, digest, sha256
from ldr_utils.study.stage import WRITERS, Stage


def params(**changes: Any) -> GenerationParams:
    values: dict[str, Any] = {"run_dir": "runs/here", "threads": 1}
    return GenerationParams(**(values | changes))


def write_notebook(folder: Path, name: str, *cells: tuple[str, str]) -> None:
    rows = [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": rows}))


@pytest.fixture(autouse=True)
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebooks folder of the test's own, so that its code can change."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(
        folder, "02_generation", ("code", "%matplotlib inline\nfrom ldr_utils.study.jsonl import read_jsonl")
    )
    monkeypatch.setattr("ldr_utils.study.provenance.NOTEBOOKS", folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "inputs" / "en.jsonl"
    path.parent.mkdir()
    path.write_text('{"id": "1"}\n')
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "M0" / "responses"


def begin(folder: Path, source: Path, **changes: Any) -> Stage:
    return Stage.begin("02_generation", folder, params(**changes), [source])


def leave_partial_work(folder: Path) -> Path:
    partial = folder / "deep" / "es.jsonl.partial"
    partial.parent.mkdir()
    partial.write_text("half\n")
    return partial


def test_manifest_exists_only_after_finish(folder: Path, source: Path) -> None:
    stage = begin(folder, source)
    assert not (folder / "manifest.json").exists()
    stage.finish("done")
    assert (folder / "manifest.json").exists()


def test_beginning_again_takes_the_manifest_away(folder: Path, source: Path) -> None:
    begin(folder, source).finish("done")
    begin(folder, source)
    assert not (folder / "manifest.json").exists(), "a stage that runs again is not complete"


def test_manifest_contents(folder: Path, source: Path) -> None:
    stage = begin(folder, source, seed=3)
    (folder / "sub").mkdir()
    (folder / "sub" / "es.jsonl").write_text("out\n")
    returned = stage.finish("two lines", kept=2, dropped={"empty": 1})
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == returned
    assert manifest["stage"] == "02_generation"
    assert manifest["headline"] == "two lines"
    assert manifest["counts"] == {"kept": 2, "dropped": {"empty": 1}}
    assert manifest["params"]["seed"] == 3
    assert manifest["params_hash"] == digest(manifest["params"])
    assert manifest["outputs"] == {"sub/es.jsonl": hashlib.sha256(b"out\n").hexdigest()}
    assert list(manifest["inputs"].values()) == [hashlib.sha256(b'{"id": "1"}\n').hexdigest()]
    assert manifest["packages"]["numpy"].count(".") >= 1
    assert manifest["seconds"] >= 0
    assert manifest["peak_memory_mb"] > 1
    assert {"commit", "dirty", "notebook"} == manifest["code"].keys()
    assert manifest["code"]["notebook"] == code_hash("02_generation")
    assert manifest["machine"]["cpu"]
    assert manifest["machine"]["cores"] >= 1


def test_where_a_stage_ran_is_not_in_its_manifest_or_key(folder: Path, source: Path) -> None:
    here, there = begin(folder, source), begin(folder, source, run_dir="runs/there", threads=2)
    assert here.key() == there.key()
    assert not {"run_dir", "threads"} & here.finish("done")["params"].keys()


def test_inputs_of_one_name_are_all_recorded(folder: Path, source: Path, tmp_path: Path) -> None:
    """A run folder outside of the repository holds many ``en.jsonl``."""
    other = tmp_path / "other" / "en.jsonl"
    other.parent.mkdir()
    other.write_text("other\n")
    manifest = Stage.begin("02_generation", folder, params(), [source, other]).finish("done")
    assert sorted(manifest["inputs"].values()) == sorted([sha256(source), sha256(other)])


def test_inputs_in_the_repository_are_named_from_its_root(folder: Path) -> None:
    this = Path(__file__).resolve()
    manifest = Stage.begin("02_generation", folder, params(), [this]).finish("done")
    assert list(manifest["inputs"]) == [str(this.relative_to(ROOT))]


def test_same_work_keeps_partial_files(folder: Path, source: Path) -> None:
    begin(folder, source)
    partial = leave_partial_work(folder)
    begin(folder, source, threads=2)
    assert partial.read_text() == "half\n"


def test_changed_params_clear_partial_files(folder: Path, source: Path) -> None:
    begin(folder, source)
    partial = leave_partial_work(folder)
    begin(folder, source, max_new_tokens=7)
    assert not partial.exists()
    assert {path.name for path in folder.iterdir()} == {"stage.json", ".lock"}


def test_changed_input_clears_partial_files(folder: Path, source: Path) -> None:
    begin(folder, source)
    partial = leave_partial_work(folder)
    source.write_text('{"id": "2"}\n')
    begin(folder, source)
    assert not partial.exists()


def test_files_of_unknown_origin_are_cleared(folder: Path, source: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "es.jsonl").write_text("from where?\n")
    begin(folder, source)
    assert not (folder / "es.jsonl").exists()


def test_missing_input_is_named_and_nothing_is_touched(folder: Path, source: Path) -> None:
    begin(folder, source).finish("done")
    source.unlink()
    with pytest.raises(InputError) as caught:
        begin(folder, source)
    assert str(caught.value).startswith(f"{source}: no such file")
    assert "\n" not in str(caught.value)
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize(("written", "notebook"), WRITERS.items())
def test_notebook_to_run_first_is_named(folder: Path, tmp_path: Path, written: str, notebook: str) -> None:
    assert notebook in SCHEMAS
    with pytest.raises(InputError, match=f"{written}/manifest.json: no such file; run {notebook} first$"):
        Stage.begin("02_generation", folder, params(), [tmp_path / written / "manifest.json"])


CODE = ("code", "%matplotlib inline\nfrom ldr_utils.study.jsonl import read_jsonl")


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        ([("markdown", "Reworded."), CODE], True),
        ([CODE, ("code", "x = 1")], True),
        ([("code", "%matplotlib inline\nfrom ldr_utils.method.pairs import build_pairs")], False),
    ],
)
def test_changed_engine_clears_partial_files(
    folder: Path, source: Path, notebooks: Path, cells: list[tuple[str, str]], same: bool
) -> None:
    """Cells only call the package and show what came out: rewording or extending one must not cost hours of work."""
    begin(folder, source)
    partial = leave_partial_work(folder)
    write_notebook(notebooks, "02_generation", *cells)
    begin(folder, source)
    assert partial.exists() == same


@pytest.mark.parametrize("line", ["from ldr_utils import records", "import json, ldr_utils.study.jsonl as r"])
def test_every_way_to_import_a_module_counts_as_its_code(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    root = tmp_path / "repository"
    (root / "ldr_utils").mkdir(parents=True)
    (root / "ldr_utils" / "__init__.py").touch()
    monkeypatch.setattr("ldr_utils.study.provenance.ROOT", root)
    write_notebook(notebooks, "02_generation", ("code", line))
    hashes = set()
    for text in ("x = 1", "x = 2"):
        (root / "ldr_utils" / "records.py").write_text(text)
        hashes.add(code_hash("02_generation"))
    assert len(hashes) == 2


def test_input_of_another_stage_is_what_it_wrote_not_how_long_it_took(folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "earlier" / "manifest.json"
    manifest.parent.mkdir()
    keys = []
    for text, seconds in (("a", 1), ("a", 2), ("b", 2)):
        written = manifest.with_name("es.jsonl")
        written.write_text(text)
        outputs = {written.name: sha256(written)}
        manifest.write_text(json.dumps({"stage": "02_generation", "outputs": outputs, "seconds": seconds}))
        keys.append(begin(folder, manifest).key())
    assert keys[0] == keys[1] != keys[2]


def test_prompt_templates_are_recorded_by_the_stages_that_have_them(folder: Path, source: Path) -> None:
    from ldr_utils.policy import prompts

    recorded = begin(folder, source).finish("done")["templates"]
    assert recorded["translation"] == digest(prompts.TRANSLATION)
    assert {"translation", "pairwise", "score"} <= recorded.keys()


@pytest.mark.parametrize("damage", [lambda path: path.write_text("other"), Path.unlink])
def test_an_input_that_is_not_what_its_stage_wrote_is_refused_and_named(
    folder: Path, source: Path, damage: Callable[[Path], Any]
) -> None:
    stage = begin(folder, source)
    written, manifest, later = folder / "es.jsonl", folder / "manifest.json", folder.parent / "translations"
    written.write_text("out\n")
    stage.finish("done")
    begin(later, manifest)
    damage(written)
    with pytest.raises(
        InputError, match=r"es\.jsonl: missing or changed since it was written; run 02_generation again"
    ):
        begin(later, manifest)


def test_two_processes_never_run_one_stage(folder: Path, source: Path) -> None:
    code = "import sys; from pathlib import Path; from ldr_utils.study.stage import _take; _take(Path(sys.argv[1]))"
    words = [sys.executable, "-c", code, str(folder)]
    stage = begin(folder, source)
    begin(folder, source)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "another process runs this stage; wait for it, or shut its kernel down"
    )
    stage.finish("done")
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0


def test_what_a_crash_left_half_written_is_no_output(folder: Path, source: Path) -> None:
    stage = begin(folder, source)
    for name in ("es.jsonl", "es.jsonl.partial", "es.jsonl.tmp"):
        (folder / name).write_text("out\n")
    assert list(stage.finish("done")["outputs"]) == ["es.jsonl"]
    assert {path.name for path in folder.iterdir()} == {"es.jsonl", "manifest.json", "stage.json", ".lock"}


def test_an_output_beside_the_folder_belongs_to_its_stage(folder: Path, source: Path, notebooks: Path) -> None:
    write_notebook(notebooks, "05_qlora_dpo", CODE)
    history = folder.parent / "training.jsonl"
    folder.mkdir(parents=True)
    history.write_text("{}\n")
    training = TrainingParams(run_dir="runs/here")
    stage = Stage.begin("05_qlora_dpo", folder, training, [source])
    assert not history.exists(), "of unknown origin"
    history.write_text("{}\n")
    assert stage.finish("done")["outputs"] == {"../training.jsonl": sha256(history)}
    history.write_text("[]\n")
    assert damaged(folder / "manifest.json") == [folder / "../training.jsonl"]


def test_a_mark_cut_short_does_not_block_the_stage(folder: Path, source: Path) -> None:
    begin(folder, source)
    (folder / "stage.json").write_text('{"key": ')
    partial = leave_partial_work(folder)
    begin(folder, source).finish("done")
    assert not partial.exists()
