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
from ldr_utils.study.params import GenerationParams, TrainingParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.provenance import code_hash, digest, sha256
from ldr_utils.study.stage import StageRun, differences, open_stage, read_mark
from ldr_utils.study.stages import BY_FOLDER, BY_NOTEBOOK

CODE = ("code", "%matplotlib inline\nfrom ldr_utils.study.jsonl import read_jsonl")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def write_notebook(folder: Path, name: str, *cells: tuple[str, str]) -> None:
    rows = [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": rows}))


@pytest.fixture(autouse=True)
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebooks folder of the test's own, so that its code can change."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_data", "02_generation", "05_qlora_dpo"):
        write_notebook(folder, name, CODE)
    monkeypatch.setattr("ldr_utils.study.provenance.NOTEBOOKS", folder)
    return folder


def finished(manifest: Path, notebook: str, text: str) -> Path:
    """A stage that is done, with one file; returns its manifest."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    written = manifest.with_name(BY_NOTEBOOK[notebook].products[-1] if BY_NOTEBOOK[notebook].products else "es.jsonl")
    written.write_text(text)
    manifest.write_text(json.dumps({"stage": notebook, "outputs": {written.name: sha256(written)}}))
    return manifest


@pytest.fixture
def source(run_dir: Path) -> Path:
    """The adapter that a model answers with: what its answers are made from."""
    return finished(run_dir / "M1" / "adapter" / "manifest.json", "05_qlora_dpo", "weights")


@pytest.fixture
def folder(run_dir: Path) -> Path:
    return run_dir / "M1" / "responses"


def begin(folder: Path, *sources: Path, **changes: Any) -> StageRun[GenerationParams]:
    run_dir = next(path for path in folder.parents if path.name == "run")
    values: dict[str, Any] = {"run_dir": str(run_dir), "threads": 1, "t": 1} | changes
    stage = StageRun(BY_NOTEBOOK["02_generation"], folder, GenerationParams(**values), list(sources))
    stage.begin()
    return stage


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


def test_same_work_keeps_partial_files(folder: Path, source: Path) -> None:
    begin(folder, source)
    partial = leave_partial_work(folder)
    begin(folder, source, threads=2)
    assert partial.read_text() == "half\n"


def test_files_of_unknown_origin_are_cleared(folder: Path, source: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "es.jsonl").write_text("from where?\n")
    begin(folder, source)
    assert not (folder / "es.jsonl").exists()


@pytest.mark.parametrize("line", ["from ldr_utils.report import pages", "import json, ldr_utils.report.pages as p"])
def test_every_way_to_import_a_module_counts_as_its_code(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    root = tmp_path / "repository"
    (root / "ldr_utils" / "report").mkdir(parents=True)
    (root / "ldr_utils" / "report" / "__init__.py").touch()
    monkeypatch.setattr("ldr_utils.study.provenance.ROOT", root)
    write_notebook(notebooks, "02_generation", ("code", line))
    hashes = set()
    for text in ("x = 1", "x = 2"):
        (root / "ldr_utils" / "report" / "pages.py").write_text(text)
        hashes.add(code_hash("02_generation"))
    assert len(hashes) == 2


def test_prompt_templates_are_recorded_by_the_stages_that_have_them(folder: Path, source: Path) -> None:
    from ldr_utils.policy import prompts

    recorded = begin(folder, source).finish("done")["templates"]
    assert recorded["translation"] == digest(prompts.TRANSLATION)
    assert {"translation", "pairwise", "score"} <= recorded.keys()


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
    assert list(manifest["inputs"]) == ["M1/adapter/manifest.json"]
    assert manifest["packages"]["numpy"].count(".") >= 1
    assert manifest["seconds"] >= 0
    assert manifest["peak_memory_mb"] > 1
    assert {"commit", "dirty", "notebook"} == manifest["code"].keys()
    assert manifest["code"]["notebook"] == code_hash("02_generation", ["en", "es", "ru", "de", "fr", "it", "sw"])
    assert manifest["machine"]["cpu"]
    assert manifest["machine"]["cores"] >= 1


def test_where_a_stage_ran_is_not_in_its_manifest_or_identity(folder: Path, source: Path) -> None:
    stage = begin(folder, source)
    first = stage.identity()
    assert begin(folder, source, threads=2, gpu_memory=0.5).identity() == first
    assert not {"run_dir", "threads", "gpu_memory"} & stage.finish("done")["params"].keys()


def test_inputs_from_outside_of_the_run_are_recorded(folder: Path, source: Path, tmp_path: Path) -> None:
    """MT-Bench's questions: many files of one name, in the repository or anywhere else."""
    this, other = Path(__file__).resolve(), tmp_path / "other" / "en.jsonl"
    other.parent.mkdir()
    other.write_text("other\n")
    manifest = begin(folder, source, this, other).finish("done")
    names = {"M1/adapter/manifest.json", str(this.relative_to(ROOT)), str(other.relative_to("/"))}
    assert set(manifest["inputs"]) == names
    assert sha256(other) in manifest["inputs"].values()


def test_missing_input_is_named_and_nothing_is_touched(folder: Path, source: Path) -> None:
    begin(folder, source).finish("done")
    source.unlink()
    with pytest.raises(InputError) as caught:
        begin(folder, source)
    assert (
        str(caught.value) == f"{source}: no such file; run 05_qlora_dpo first, or ldr run, which runs what is missing"
    )
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize("name", BY_FOLDER)
def test_notebook_to_run_first_is_named(folder: Path, run_dir: Path, name: str) -> None:
    notebook = BY_FOLDER[name].notebook
    with pytest.raises(
        InputError, match=f"{name}/manifest.json: no such file; run {notebook} first, or ldr run, which"
    ):
        begin(folder, run_dir / name / "manifest.json")


@pytest.mark.parametrize("damage", [lambda path: path.write_text("other"), Path.unlink])
def test_an_input_that_is_not_what_its_stage_wrote_is_refused_and_named(
    folder: Path, source: Path, damage: Callable[[Path], Any]
) -> None:
    damage(source.with_name("adapter_model.safetensors"))
    with pytest.raises(
        InputError, match=r"safetensors: missing or changed since it was written; run 05_qlora_dpo again"
    ):
        begin(folder, source)


# What a stage is, and what becomes of work that is another


def leave_finished_work(folder: Path, text: str = "paid for\n") -> Path:
    answers = folder / "es.jsonl"
    answers.write_text(text)
    return answers


def aside(folder: Path) -> list[str]:
    run_dir = folder.parents[1]
    return sorted(
        path.relative_to(run_dir / "aside").as_posix().split("/", 1)[1] for path in (run_dir / "aside").rglob("*.jsonl")
    )


CHANGES = [{"max_new_tokens": 7}, {"base_model": "models/other"}, {"repetition_penalty": 1.1}, {"seed": 4}]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_other_work_sets_aside_what_was_there_until_it_is_done(
    folder: Path, source: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stage = begin(folder, source)
    leave_finished_work(folder)
    stage.finish("done")
    other = begin(folder, source, **change)
    (key, value), said = next(iter(change.items())), capsys.readouterr().out
    assert f"{key} " in said
    assert f" -> {value}" in said
    assert "kept in aside/" in said
    assert {path.name for path in folder.iterdir()} == {"stage.json", ".lock"}
    assert aside(folder) == ["M1/responses/es.jsonl"]
    leave_finished_work(folder, "new\n")
    other.finish("done")
    assert not (folder.parents[1] / "aside").exists()
    assert (folder / "es.jsonl").read_text() == "new\n"


def test_work_that_is_asked_for_again_comes_back(folder: Path, source: Path) -> None:
    """A parameter that was set by mistake, or a commit that was taken back, costs nothing."""
    stage = begin(folder, source)
    leave_finished_work(folder)
    stage.finish("done")
    begin(folder, source, max_new_tokens=7)
    leave_finished_work(folder, "half of the other\n")
    begin(folder, source).finish("done")
    assert (folder / "es.jsonl").read_text() == "paid for\n"
    assert not (folder.parents[1] / "aside").exists()


def test_nothing_is_lost_where_three_are_tried_in_turn(folder: Path, source: Path) -> None:
    for tokens in (5, 6, 7):
        begin(folder, source, max_new_tokens=tokens)
        leave_finished_work(folder, f"{tokens}\n")
    for tokens in (5, 6, 7, 5):
        begin(folder, source, max_new_tokens=tokens)
        assert (folder / "es.jsonl").read_text() == f"{tokens}\n"


def test_a_crash_while_it_is_set_aside_loses_nothing(
    run_dir: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TrainingParams(run_dir=str(run_dir), t=2)
    folder = run_dir / "M2" / "adapter"
    stage = StageRun(BY_NOTEBOOK["05_qlora_dpo"], folder, training, [source])
    stage.begin()
    (folder / "adapter_model.safetensors").write_text("weights")
    (folder.parent / "training.jsonl").write_text("{}\n")
    assert "../training.jsonl" in stage.finish("done")["outputs"]
    changed = StageRun(stage.stage, folder, training.model_copy(update={"beta": 0.2}), [source])
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        changed.begin()
    monkeypatch.undo()
    monkeypatch.setattr("ldr_utils.study.provenance.NOTEBOOKS", run_dir.parent / "notebooks")
    changed.begin()
    assert not (folder / "adapter_model.safetensors").exists()
    stage.begin()
    assert (folder / "adapter_model.safetensors").read_text() == "weights"
    assert (folder.parent / "training.jsonl").read_text() == "{}\n"
    assert not (run_dir / "aside").exists() or not list((run_dir / "aside").rglob("*.*"))


def test_an_output_beside_the_folder_belongs_to_its_stage(run_dir: Path, source: Path) -> None:
    folder = run_dir / "M2" / "adapter"
    history = folder.parent / "training.jsonl"
    folder.mkdir(parents=True)
    history.write_text("{}\n")
    stage = StageRun(BY_NOTEBOOK["05_qlora_dpo"], folder, TrainingParams(run_dir=str(run_dir), t=2), [source])
    stage.begin()
    assert not history.exists(), "of unknown origin"
    history.write_text("{}\n")
    assert stage.finish("done")["outputs"] == {"../training.jsonl": sha256(history)}
    history.write_text("[]\n")
    assert damaged(folder / "manifest.json") == [folder / "../training.jsonl"]


@pytest.mark.parametrize(
    "change",
    [
        {"study": "renamed"},
        {"languages": ["en", "es"]},
        {"unseen": []},
        {"languages": ["en", "es", "it"], "unseen": []},
    ],
    ids=str,
)
def test_what_a_study_asks_in_which_languages_is_no_part_of_an_answer(
    folder: Path, source: Path, change: dict[str, Any]
) -> None:
    """Every file of answers knows its own prompts: a language more leaves the others alone."""
    begin(folder, source)
    leave_finished_work(folder)
    begin(folder, source, **change)
    assert (folder / "es.jsonl").exists()


def test_another_adapter_is_other_work_and_another_curve_is_not(folder: Path, source: Path) -> None:
    stage = begin(folder, source)
    first = stage.identity()
    manifest = json.loads(source.read_text())
    source.write_text(json.dumps(manifest | {"outputs": manifest["outputs"] | {"../training.jsonl": "other"}}))
    assert stage.identity() == first
    finished(source, "05_qlora_dpo", "other weights")
    assert stage.identity() != first


def test_a_parameter_that_came_since_is_no_difference_at_its_default(folder: Path, source: Path) -> None:
    stage = begin(folder, source)
    mark = read_mark(folder)
    assert mark is not None
    earlier = mark | {"params": {key: value for key, value in mark["params"].items() if key != "repetition_penalty"}}
    assert differences(earlier, stage.identity(), stage.params) == []
    changed = begin(folder, source, repetition_penalty=1.1)
    assert differences(earlier, changed.identity(), changed.params) == ["repetition_penalty 1.0 -> 1.1"]
    gone = mark | {"params": mark["params"] | {"top_k": 3}}
    assert differences(gone, stage.identity(), stage.params) == ["top_k is no parameter any more"]


@pytest.mark.parametrize("mark", ['{"key": ', '{"name": "02_generation", "key": "0123"}', "[]", ""])
def test_work_of_which_nothing_says_what_it_is_is_not_gone_on_with(folder: Path, source: Path, mark: str) -> None:
    begin(folder, source)
    (folder / "stage.json").write_text(mark)
    partial = leave_partial_work(folder)
    stage = begin(folder, source)
    assert not partial.exists()
    assert (folder.parents[1] / "aside").exists()
    stage.finish("done")
    assert not (folder.parents[1] / "aside").exists()


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        ([("markdown", "Reworded."), CODE], True),
        ([CODE, ("code", "x = 1")], True),
        ([("code", "%matplotlib inline\nfrom ldr_utils.policy.generate import decode")], False),
    ],
)
def test_changed_engine_sets_partial_files_aside(
    folder: Path, source: Path, notebooks: Path, cells: list[tuple[str, str]], same: bool
) -> None:
    """Cells only call the package and show what came out: rewording or extending one must not cost hours of work."""
    begin(folder, source)
    partial = leave_partial_work(folder)
    write_notebook(notebooks, "02_generation", *cells)
    begin(folder, source)
    assert partial.exists() == same


def test_a_stage_that_writes_all_anew_removes_what_was_there(run_dir: Path) -> None:
    """No model's time is in it: it is not kept aside."""
    from ldr_utils.study.params import DataParams

    for seed in (1, 2):
        opened = StageRun(BY_NOTEBOOK["01_data"], run_dir / "data", DataParams(run_dir=str(run_dir), seed=seed), [])
        opened.begin()
        assert not (run_dir / "data" / "en.jsonl").exists()
        (run_dir / "data" / "en.jsonl").write_text("")
    assert not (run_dir / "aside").exists()


def test_a_notebook_opens_its_stage_with_its_own_parameters(run_dir: Path, source: Path) -> None:
    finished(run_dir / "data" / "manifest.json", "01_data", "{}")
    values = {name: field.default for name, field in GenerationParams.model_fields.items()}
    stage = open_stage(
        "02_generation", values | {"run_dir": str(run_dir), "t": 1}, files=lambda params: [Path(__file__)]
    )
    assert stage.folder == run_dir / "M1" / "responses"
    assert [path.name for path in stage.inputs] == ["manifest.json", "manifest.json", Path(__file__).name]
    assert stage.label == "M1"
    with pytest.raises(InputError, match="parameters: arm: 'other' is not known"):
        open_stage("02_generation", values | {"run_dir": str(run_dir), "arm": "other"})
