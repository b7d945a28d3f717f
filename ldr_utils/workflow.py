"""Hand a validated study to Snakemake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from ldr_utils.base_model import missing_folder
from ldr_utils.coverage import check_languages
from ldr_utils.errors import InputError
from ldr_utils.params import PER_RUN, StudyParams
from ldr_utils.paths import ROOT, Run, run_folder
from ldr_utils.records import write_text


def run_study(params: StudyParams, out: Path | None, cores: int, until: str = "report") -> int:
    """Run a study in its run folder, or continue it; a complete one is left alone.

    Parameters
    ----------
    params : StudyParams
        The validated parameters.
    out : Path or None
        Run folder; ``runs/<study>`` when None.
    cores : int
        Processor cores for stages that can run side by side.
    until : str
        The stage to stop after, in every iteration: a key of the Snakefile's targets.

    Returns
    -------
    int
        0, or 1 when a stage failed.

    Raises
    ------
    InputError
        When the base model's folder is missing, or the data lack a language that the study asks for.
    """
    if trouble := missing_folder(params.base_model):
        raise InputError(f"base_model: {trouble}")
    check_languages(params)
    run = Run(run_folder(params.study, out))
    values = params.model_dump(exclude=PER_RUN)
    write_text(run.params, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    config = run.root / "snakemake.json"
    write_text(config, json.dumps({"params": values, "run_dir": _shortest(run.root), "until": until}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(run.root)]
    command += ["--configfile", str(config), "--cores", str(cores), "--rerun-incomplete"]
    if shutil.which("nvidia-smi"):  # two models side by side would not fit one GPU
        command += ["--resources", "gpu=1"]
    command += ["--quiet", "host", "progress", "reason", "rules"]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        print(f"ldr: a stage failed (see above); the same command continues from there: {run.root}", file=sys.stderr)
        return 1
    if until == "report":
        print(f"Report: {run.report / 'index.html'}\nNumbers: {run.results}")
    return 0


def _shortest(path: Path) -> str:
    """Relative to the repository where it lies inside, so that nothing in a run tells where the clone was."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
