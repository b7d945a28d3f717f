"""A run survives what happens to it: signals, a second run, a full or read-only disk, damage, a dead kernel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldr_utils.commands.execute import execute
from ldr_utils.commands.status import status
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.locks import LOCK, is_locked, lock
from ldr_utils.study.manifests import damaged, repair
from ldr_utils.study.params import PER_RUN, load_params
from ldr_utils.study.paths import ROOT
from ldr_utils.study.stages import places

sys.path.insert(0, str(Path(__file__).parent / "reliability"))
from kill_anywhere import artifacts, family, survivors

ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1"}


def ldr_run(out: Path, *extra: str, until: str = "data") -> list[str]:
    words = [sys.executable, "-m", "ldr_utils.cli", "run", "params/smoke.yaml", "--out", str(out), "--until", until]
    return [*words, *extra]


def run(out: Path, *extra: str, until: str = "data") -> subprocess.CompletedProcess[str]:
    words = ldr_run(out, *extra, until=until)
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its data stage done; tests work on copies."""
    out = tmp_path_factory.mktemp("finished") / "smoke"
    done = run(out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "smoke"))


def _heed_ctrl_c() -> None:
    """Where the tests are a shell's background job, they ignore it, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(out: Path) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A run whose kernel is at work, and all its processes."""
    process = subprocess.Popen(
        ldr_run(out), cwd=ROOT, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=_heed_ctrl_c
    )
    try:
        while not is_locked(out / "data" / LOCK):
            assert process.poll() is None, "the stage was over before it was seen"
            time.sleep(0.02)
        yield process, family(process.pid)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_leaves_no_process_and_continues(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "smoke"
    with started(out) as (process, members):
        assert len(members) >= 4, "ldr, Snakemake, papermill, kernel"
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "ldr: stopped; the same command continues from here"
    assert "Traceback" not in errors
    assert not survivors(members)
    assert not (out / "data" / "manifest.json").exists()
    assert run(out).returncode == 0
    assert (out / "data" / "manifest.json").exists()


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
def test_a_run_that_is_stopped_at_once_says_so(tmp_path: Path, seconds: float) -> None:
    """While Python still imports, while Snakemake starts, while a kernel does."""
    words = ldr_run(tmp_path / "smoke")
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen(words, cwd=ROOT, preexec_fn=_heed_ctrl_c, **pipes) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "ldr: stopped; the same command continues from here"
    assert "Traceback" not in errors


def test_whatever_kernels_are_installed_and_wherever_temporary_files_go(tmp_path: Path) -> None:
    """Somebody's own python3 that is none, and a TMPDIR that is too long for sockets, with blanks and quotes."""
    spec = tmp_path / "home" / ".local" / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"})
    )
    scratch = tmp_path / 'my user\'s "scratch"' / ("x" * 89)
    scratch.mkdir(parents=True)
    environment = ENVIRONMENT | {"HOME": str(tmp_path / "home"), "TMPDIR": str(scratch), "PYTHONIOENCODING": "ascii"}
    environment |= {"JUPYTER_PATH": str(spec.parents[2]), "JUPYTER_PREFER_ENV_PATH": "0"}
    words = ldr_run(tmp_path / "my user's run é")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert list(scratch.iterdir()) == []


def test_a_folder_that_was_renamed_is_complete(copy: Path) -> None:
    moved = copy.rename(copy.with_name("another name"))
    done = run(moved)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_killed_driver_takes_every_process_with_it_and_blocks_nothing(tmp_path: Path) -> None:
    out = tmp_path / "smoke"
    with started(out) as (process, members):
        process.kill()
        done = run(out)
    assert not survivors(members)
    assert done.returncode == 0, done.stderr


def test_a_second_run_says_so_and_leaves(copy: Path) -> None:
    before = (copy / "params.yaml").read_text()
    with lock(copy / LOCK):
        done = run(copy, "--set", "seed=8")
        assert "A run is active" in status(copy)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"ldr: {copy}: another ldr run is active here; wait for it, or give --out"]
    assert (copy / "params.yaml").read_text() == before


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    code = f"from ldr_utils.study.locks import Path, lock; f = lock(Path({str(path)!r})); input(print())"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(BlockingIOError):
            lock(path, patience=0)
        assert is_locked(path)
        holder.kill()
        holder.wait()
    assert not is_locked(path)
    lock(path, patience=0).close()


def test_a_process_whose_parent_is_gone_before_it_could_ask_ends() -> None:
    code = (
        "import sys; from ldr_utils.commands import lifeline; lifeline.die_with_parent(int(sys.argv[1])); sys.exit(7)"
    )
    codes = [
        subprocess.run([sys.executable, "-c", code, str(parent)], cwd=ROOT, check=False).returncode
        for parent in (os.getpid(), os.getppid())
    ]
    assert codes == ([7, 1] if sys.platform == "linux" else [7, 7])


def kill_the_kernel(folder: Path) -> None:
    sources = ["x = 1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "x = 2"]
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"id": f"c{k}", "cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
            for k, text in enumerate(sources)
        ],
    }
    (folder / "02_generation.ipynb").write_text(json.dumps(notebook))


def test_a_dead_kernel_is_reported_with_stage_and_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kill_the_kernel(tmp_path)
    monkeypatch.setattr("ldr_utils.commands.execute.NOTEBOOKS", tmp_path)
    output = tmp_path / "out" / "02_generation.ipynb"
    assert execute("02_generation", output, {"t": 1}) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    # papermill puts the parameters before the first cell
    assert last == f"[M1 02_generation] failed in cell 3 of {output}: the kernel died (out of memory?)"


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_run_folder_is_one_line(copy: Path) -> None:
    with tmpfs(copy / "M0", "ro,size=1m"):
        done = run(copy / "M0")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{copy / 'M0'}: cannot be written (Read-only file system); give another folder" in done.stderr


@pytest.mark.parametrize("size", ["8k", "96k"])
def test_a_full_disk_is_named_and_nothing_half_written_is_taken_for_good(
    tmp_path: Path, finished: Path, size: str
) -> None:
    disk = tmp_path / "disk"
    with tmpfs(disk, f"size={size}"):
        done = run(disk / "smoke")
        assert done.returncode in (1, 2)
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert "CalledProcessError" not in done.stderr
        assert not (disk / "smoke" / "data" / "manifest.json").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = run(disk / "smoke")
        assert again.returncode == 0, again.stderr
        assert outputs(disk / "smoke") == outputs(finished)
        assert not list(disk.rglob("*.tmp"))


def outputs(out: Path) -> Any:
    return json.loads((out / "data" / "manifest.json").read_text())["outputs"]


def line_of(run_dir: Path, folder: str) -> str:
    """The line of one stage in the table."""
    (line,) = (line for line in status(run_dir).splitlines() if line.startswith(f"{folder} "))
    return line


@pytest.mark.parametrize("how", ["cut", "edited", "removed"])
def test_a_damaged_artifact_is_named_and_built_again(copy: Path, how: str) -> None:
    before, path = outputs(copy), copy / "data" / "mgsm" / "en.jsonl"
    text = path.read_text()
    if how == "removed":
        path.unlink()
    else:
        path.write_text(text[: len(text) // 2] if how == "cut" else text.replace("1", "2", 1))
    assert line_of(copy, "data").split()[1:4] == ["damaged", "en.jsonl:", "missing"]
    done = run(copy)
    assert done.returncode == 0, done.stderr
    assert "ldr: data/mgsm/en.jsonl: missing or changed since it was written; data is built again" in done.stderr
    assert outputs(copy) == before
    assert path.read_text() == text


def test_a_broken_manifest_is_removed(copy: Path) -> None:
    path = copy / "data" / "manifest.json"
    path.write_text(path.read_text()[:100])
    assert repair(copy) == ["data/manifest.json: missing or changed since it was written; data is built again"]
    assert not path.exists()


@pytest.mark.parametrize("name", ["../../precious", "/precious", "a/../../../precious"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    manifest = tmp_path / "run" / "data" / "manifest.json"
    named = str(precious) if name == "/precious" else name
    write_text(manifest, json.dumps({"stage": "01_data", "outputs": {named: "0"}}))
    assert damaged(manifest) == [manifest]
    repair(tmp_path / "run")
    assert precious.exists()
    assert not manifest.exists()


def test_status_tells_every_state(copy: Path) -> None:
    def state(folder: str) -> list[str]:
        return line_of(copy, folder).split()[1:]

    assert state("data")[:1] == ["done"]
    assert "4 sets" in " ".join(state("data"))
    assert state("M2/mgsm") == ["missing"]
    assert "Next: M0/responses" in status(copy)
    write_text(copy / "M0" / "mgsm" / "stage.json", "{}")
    assert state("M0/mgsm")[0] == "stopped"
    with lock(copy / "M0" / "mgsm" / LOCK):
        assert state("M0/mgsm") == ["running"]
    values = yaml.safe_load((copy / "params.yaml").read_text())
    write_text(copy / "params.yaml", yaml.safe_dump(values | {"seed": 8, "beta": 0.3}))
    assert state("data")[0] == "stale"
    assert state("data")[-4:] == ["seed", "7", "->", "8"]


def test_status_tells_changed_code_and_changes_nothing(copy: Path) -> None:
    path = copy / "data" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["code"]["notebook"] = "another"
    write_text(path, json.dumps(manifest))
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert "code of 01_data changed" in status(copy)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_status_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run folder \(no params.yaml\); give a folder that ldr run made$"):
        status(tmp_path)


def test_status_lists_what_snakemake_would_make(tmp_path: Path) -> None:
    """The Snakefile alone decides the order; the table must not miss one of its stages."""
    study = load_params(ROOT / "params" / "smoke.yaml")
    config = {"params": study.model_dump(exclude=PER_RUN), "until": "report"}
    write_text(tmp_path / "config.json", json.dumps(config))
    words = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path), "--nolock", "--dry-run"]
    words += ["--configfile", str(tmp_path / "config.json"), "--summary"]
    done = subprocess.run([sys.executable, "-m", "snakemake", *words], capture_output=True, text=True, check=True)
    made = {line.split("\t")[0] for line in done.stdout.splitlines()}
    wanted = {name.removesuffix("/manifest.json") for name in made if name.endswith("/manifest.json")}
    assert {place.folder for place in places(study)} == wanted


def test_changed_decoding_runs_generation_again_and_changed_training_does_not(tmp_path: Path) -> None:
    out = tmp_path / "smoke"
    manifest = out / "M0" / "responses" / "manifest.json"
    seen = []
    for change in ("repetition_penalty=1.0", "beta=0.3", "repetition_penalty=1.3"):
        done = run(out, "--set", "iterations=1", "--set", change, until="generation")
        assert done.returncode == 0, done.stderr
        seen.append((manifest.stat().st_mtime_ns, (out / "data" / "manifest.json").stat().st_mtime_ns))
    assert seen[0] == seen[1]
    assert seen[1][0] != seen[2][0]
    assert seen[1][1] == seen[2][1]
    assert json.loads(manifest.read_text())["params"]["repetition_penalty"] == 1.3


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A study that was killed twice, and what the harness reported; the long form is run by hand."""
    work = tmp_path_factory.mktemp("killed")
    words = [sys.executable, str(ROOT / "tests" / "reliability" / "kill_anywhere.py"), str(work), "--kills", "2"]
    words += ["--set", "iterations=1", "--set", "arms=[lidr]"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "killed" / "smoke", [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_anywhere_the_study_ends_with_the_same_files(killed: tuple[Path, list[dict[str, Any]]]) -> None:
    report = killed[1]
    assert 1 <= report[-1]["kills"] == sum("aimed" in line for line in report)
    assert report[-1]["differences"] == []


@pytest.mark.parametrize("name", ["M1/adapter/adapter_model.safetensors", "M0/pairs/train.jsonl"])
def test_damage_in_the_middle_of_a_finished_study_is_built_again(
    killed: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    """The later stages are executed again, find what they have still right, and end with the same files."""
    out = killed[0]
    before, path = artifacts(out), out / name
    path.write_bytes(path.read_bytes()[:-100])
    words = [sys.executable, "-m", "ldr_utils.cli", "run", str(out / "params.yaml"), "--out", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert f"ldr: {name}: missing or changed since it was written" in done.stderr
    assert artifacts(out) == before
