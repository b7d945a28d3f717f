"""What is wrong with a study's inputs, as far as it can be known before any work is spent."""

from __future__ import annotations

from pathlib import Path

from ldr_utils.commands.model_files import Role, folder_gaps, names_its_end
from ldr_utils.data.coverage import check_languages
from ldr_utils.data.sets import draw_sets
from ldr_utils.judges.endpoint import read_key
from ldr_utils.policy.backends import NO_GPU, choose_backend, vllm_is_installed
from ldr_utils.policy.load import check_torchao, load_tokenizer, missing_folder
from ldr_utils.scores.benchmarks import open_tasks
from ldr_utils.scores.mt_bench import read_questions
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import from_root


def check_inputs(params: StudyParams) -> None:
    """Look at the models, the judge's key, the data and MT-Bench's questions; nothing is downloaded or written.

    Raises
    ------
    InputError
        For a model folder that is missing, incomplete or pickled, a tokenizer without chat template or end of turn, a
        backend that is not installed, a key that is not set, benchmarks that nobody knows, and data that lack something
        or are broken.
    """
    check_torchao()
    check_model("base_model", params.base_model)
    base = from_root(params.base_model)
    if base.exists() and not names_its_end(base):  # some classes of tokenizers know it all the same
        load_tokenizer(params.base_model)
    if params.translator != "self":
        check_model("translator", params.translator, "translator")
    if params.judge == "local":
        check_model("judge_model", params.judge_model)
    if params.second_judge == "local":
        check_model("second_judge_model", params.second_judge_model)
    if "openai" in (params.judge, params.second_judge):
        read_key(params)
    choose_backend(params, vllm_is_installed(), NO_GPU)
    check_languages(params)
    if params.benchmarks:
        open_tasks(params.benchmarks)
    if params.data_dir:
        draw_sets(params)
    read_questions(params)


def check_model(key: str, name: str, role: Role = "base model") -> None:
    """Refuse a model folder that is missing or lacks something; a hub name is not looked up."""
    if trouble := missing_folder(name):
        raise InputError(f"{key}: {trouble}")
    folder = from_root(name)
    if folder.exists() and (gaps := folder_gaps(folder, role)):
        raise InputError(f"{key}: {name}: {', '.join(gaps)}; complete the folder, or give another")


def check_run_folder(root: Path) -> None:
    """Refuse a folder with other contents: in a run's folder, files that are not what a stage wrote are removed.

    Raises
    ------
    InputError
        When the folder holds something, but not the parameters of a run.
    """
    if not root.is_dir() or (root / "params.yaml").exists():
        return
    for path in root.iterdir():
        if not path.name.startswith(".") and path.suffix != ".tmp":  # which a run killed at its start leaves
            raise InputError(f"{root}: holds {path.name}, but is no run folder; give an empty or a new one with --out")
