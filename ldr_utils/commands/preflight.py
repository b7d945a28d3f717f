"""What is wrong with a study's inputs, as far as it can be known before any work is spent."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ldr_utils.commands import device as machine
from ldr_utils.commands.chats import check_chats
from ldr_utils.commands.device import Device
from ldr_utils.commands.model_files import Role, find_model, folder_gaps, translators_of
from ldr_utils.data.coverage import check_languages, unevaluated
from ldr_utils.data.sets import check_files
from ldr_utils.judges.endpoint import read_key
from ldr_utils.judges.published import read_template
from ldr_utils.policy.backends import NO_GPU, choose_backend, vllm_is_installed
from ldr_utils.policy.load import check_torchao, missing_folder
from ldr_utils.scores.benchmarks import open_tasks
from ldr_utils.scores.mt_bench import read_questions
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import AlpacaParams, JudgeParams, StudyParams
from ldr_utils.study.paths import Run, from_root
from ldr_utils.study.stages import BY_NAME, places

REHEARSED = "rehearsal.json"  # in a run folder: what was rehearsed, and held


def check_inputs(params: StudyParams) -> None:
    """Look at the models and how they are spoken to, the judge's key, the data and MT-Bench's questions.

    Nothing is downloaded or written.

    Raises
    ------
    InputError
        For a model folder that is missing, incomplete or pickled, one that cannot be spoken to as the study does
        (``policy.chat``), a backend that is not installed, a key that is not set, benchmarks that nobody knows, and
        data that lack something or are broken.
    """
    check_torchao()
    check_model("base_model", params.base_model)
    for key, name in translators_of(params).items():
        check_model(key, name, "translator")
    check_judges(params)
    check_chats(params)
    choose_backend(params, vllm_is_installed(), NO_GPU)
    check_languages(params)
    if untested := unevaluated(params):
        print(f"ldr: data: no test set in {', '.join(untested)}, which are not evaluated", file=sys.stderr, flush=True)
    if params.benchmarks:
        open_tasks(params.benchmarks)
    check_files(params)
    read_questions(params)


def check_judges(params: AlpacaParams) -> None:
    """Look at the judges' models, at the key and at the protocol; nothing is asked of an endpoint."""
    if params.judge == "local":
        check_model("judge_model", params.judge_model, "judge")
    if params.second_judge == "local":
        check_model("second_judge_model", params.second_judge_model, "judge")
    if "openai" in (params.judge, params.second_judge):
        read_key(params)
    if params.judge_protocol == "alpaca_eval":
        read_template()


def check_model(key: str, name: str, role: Role = "base model") -> None:
    """Refuse a model folder that is missing or lacks something; a hub name is not looked up."""
    if trouble := missing_folder(name):
        raise InputError(f"{key}: {trouble}")
    folder = from_root(name)
    if folder.exists() and (gaps := folder_gaps(folder, role)):
        raise InputError(f"{key}: {name}: {', '.join(gaps)}; complete the folder, or give another")


def check_judge(params: StudyParams, root: Path, until: str) -> None:
    """Ask for the judge that a run will need, before any work is spent: by itself it would be missed hours later.

    Raises
    ------
    InputError
        When the endpoint does not answer or does not serve the model, or a judge that a stage loads cannot be had or is
        too large for this machine.
    """
    asks = until == "report" or issubclass(BY_NAME[until].schema, JudgeParams)
    due = [one for one in places(params) if issubclass(one.stage.schema, JudgeParams)]
    is_model = bool({params.judge, params.second_judge} & {"openai", "local"})
    if not is_model or not asks or all((root / one.manifest).exists() for one in due):
        return
    from ldr_utils.commands import doctor  # a run without such a judge needs nothing of it

    checks = [doctor.check_endpoint(own) for own in doctor.endpoint_judges(params)]
    judges = [find_model(name, "judge") for name in doctor.local_judges(params)]
    checks += [own.check for own in judges]
    if any(own.shape for own in judges):
        device = machine.finish_probe(machine.start_probe(params.dtype), time.monotonic() + machine.PROBE_SECONDS)
        checks += [doctor.check_judging(params, own.shape, device) for own in judges if isinstance(device, Device)]
    for check in checks:
        if check.verdict == "fail":
            named = check.detail.startswith(("judge_model: ", "judge_url: ", "judge_key_env: "))
            raise InputError(check.detail if named else f"judge_model: {check.detail}")
        if check.verdict == "warn":
            print(f"ldr: {check.name}: {check.detail}", file=sys.stderr, flush=True)


def check_empty(out: Path) -> None:
    """Refuse a folder that has something in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is not empty; give an empty or a new folder")


def check_run_folder(root: Path) -> None:
    """Refuse a folder with other contents: in a run's folder, files that are not what a stage wrote are removed.

    Raises
    ------
    InputError
        When the folder holds something, but not the parameters of a run.
    """
    if not root.is_dir() or (root / "params.yaml").exists():
        return
    before = {Run(root).judge_cache, Run(root).judge_check.parent, root / REHEARSED}  # what may come before a run
    for path in root.iterdir():
        if path.name.startswith(".") or path in before:
            continue
        if path.suffix != ".tmp":  # which a run killed at its start leaves
            raise InputError(f"{root}: holds {path.name}, but is no run folder; give an empty or a new one with --out")
