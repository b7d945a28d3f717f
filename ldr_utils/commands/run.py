"""Hand a validated study to Snakemake."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ldr_utils.commands.device import cpu_trouble, probe
from ldr_utils.commands.execute import socket_folder
from ldr_utils.commands.hours import hours_by_stage, hours_line, slow_backend
from ldr_utils.commands.lifeline import die_with_parent
from ldr_utils.commands.model_files import shape_of
from ldr_utils.commands.preflight import check_inputs, check_judge, check_run_folder
from ldr_utils.commands.shapes import parameter_count
from ldr_utils.policy.gpu import CPU_PARAMETERS, cpu_is_meant
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.locks import LOCK, lock
from ldr_utils.study.manifests import repair
from ldr_utils.study.params import PER_RUN, StudyParams, write_yaml
from ldr_utils.study.paths import ROOT, Run, run_folder
from ldr_utils.study.stages import places

LEAST_HOURS = 0.1  # what takes less is not announced


def run_study(
    params: StudyParams,
    out: Path | None,
    cores: int,
    until: str = "report",
    keep_going: bool = False,
    rehearsal: Callable[[Path], bool] = lambda root: True,
) -> int:
    """Run a study in its run folder, or continue it; a complete one is left alone, damaged files are built again.

    Parameters
    ----------
    params : StudyParams
        The validated parameters.
    out : Path or None
        Run folder; ``runs/<study>`` when None.
    cores : int
        Processor cores for stages that can run side by side.
    until : str
        The stage to stop after, in every iteration (see ``study.stages``).
    keep_going : bool
        Whether stages that do not depend on a failed one are run all the same.
    rehearsal : function of the run folder
        What comes before any work once nothing is plainly wrong; whether to go on.

    Returns
    -------
    int
        0, 1 when a stage failed, or 2 where the rehearsal says not to go on.

    Raises
    ------
    InputError
        When an input is bad (see ``preflight``), a large model would run on a CPU, the run folder holds something else
        or cannot be written, or another run is active in it.
    KeyboardInterrupt
        When it is told to stop; by then no process of the run is left.
    """
    check_inputs(params)
    run = Run(run_folder(params.study, out))
    check_run_folder(run.root)
    _look_ahead(params, run)
    if not rehearsal(run.root):
        return 2
    check_judge(params, run.root, until)
    with _claim(run) as claim:
        for line in repair(run.root):
            print(f"ldr: {line}", file=sys.stderr, flush=True)
        config = write_config(run, params, until)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(run.root), "--configfile", str(config), "--cores", str(cores)]
        command += ["--rerun-incomplete", "--nolock"]  # its lock outlives a killed run; ours does not
        command += ["--scheduler", "greedy"]  # the other one calls a solver through a shell, with paths unquoted
        if shutil.which("nvidia-smi"):  # two models side by side would not fit one GPU
            command += ["--resources", "gpu=1"]
        command += ["--keep-going"] if keep_going else []
        command += ["--quiet", "host", "progress", "reason", "rules"]
        status = _run(command, claim)
    if status != 0:
        print(f"ldr: a stage failed (see above); the same command continues from there: {run.root}", file=sys.stderr)
        return 1
    if until == "report":
        print(f"Report: {run.report / 'index.html'}\nNumbers: {run.results}")
    return 0


def _look_ahead(params: StudyParams, run: Run) -> None:
    """Say what a study of a real model will take, and refuse a large one on a CPU, before it starts or goes on.

    On a cluster the stages run elsewhere: nothing is known of the machine.
    """
    shape = shape_of(params.base_model)
    small = params.source == "micro" and shape is not None and parameter_count(shape) <= CPU_PARAMETERS
    todo = any(not (run.root / place.manifest).exists() for place in places(params))
    if small or not todo or os.environ.get("SNAKEMAKE_PROFILE"):
        return
    device = probe(params.dtype)
    if trouble := cpu_trouble(device, shape):
        if not cpu_is_meant():
            raise InputError(f"base_model: {params.base_model}: {trouble}")
        print(f"ldr: base_model: {params.base_model}: {trouble}", file=sys.stderr)
    if shape is not None and sum(hours_by_stage(params, device, shape).values()) >= LEAST_HOURS:
        said = [hours_line(params, device, shape), slow_backend(params, device, shape)]
        print(f"ldr: {'; '.join(filter(None, said))}", file=sys.stderr, flush=True)


def _claim(run: Run) -> BinaryIO:
    """The lock of a run folder."""
    try:
        return lock(run.root / LOCK)
    except BlockingIOError:
        raise InputError(f"{run.root}: another ldr run is active here; wait for it, or give --out") from None
    except OSError as error:
        raise InputError(f"{run.root}: cannot be written ({error.strerror}); give another folder with --out") from None


def write_config(run: Run, params: StudyParams, until: str) -> Path:
    """Write what a run was given: ``params.yaml`` for people, the returned file for Snakemake."""
    values = params.model_dump(exclude=PER_RUN)
    config = run.root / "snakemake.json"
    try:
        write_text(run.params, write_yaml(values))
        write_text(config, json.dumps({"params": values, "until": until}))
    except OSError as error:
        raise InputError(f"{run.root}: cannot be written ({error.strerror}); make room, or give --out") from None
    return config


def _run(command: list[str], claim: BinaryIO) -> int:
    """Exit code of a command; however this call ends, no process of the command is left.

    The command has a process group of its own, so that Ctrl-C reaches this process alone: every stage survives being
    killed, and a kill is quicker and quieter than asking. It inherits the lock, so that the run stays claimed for as
    long as anything of it is alive.
    """
    with tempfile.TemporaryDirectory(prefix="ldr-", ignore_cleanup_errors=True) as scratch, socket_folder() as sockets:
        process = subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": scratch, "LDR_SOCKETS": sockets},
            pass_fds=[claim.fileno()],
            process_group=0,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        try:
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
