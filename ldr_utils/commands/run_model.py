"""A trained model of a run folder, by its name: for the commands that take it out of there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ldr_utils.report.gains import study as read_study
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.manifests import damaged
from ldr_utils.study.params import AnswersParams, StudyParams
from ldr_utils.study.paths import Run, model_name
from ldr_utils.study.stages import Place, models, place, values


@dataclass(frozen=True)
class RunModel:
    """M_t of an arm of a run."""

    run: Run
    study: StudyParams
    t: int
    arm: str

    @property
    def name(self) -> str:
        """In tables: ``M2``, or the arm's label."""
        return f"M{self.t}" if self.arm == MAIN or self.t == 0 else ARMS[self.arm].model(self.t)

    @property
    def answering(self) -> AnswersParams:
        """The parameters with which it answered the study's test sets."""
        own = values(self.study, place("answers", self.t, self.arm)) | {"run_dir": str(self.run.root)}
        return AnswersParams(**own)

    def pairs(self) -> list[Place]:
        """The sets of pairs that it was trained on, one an iteration."""
        return [place("pairs", s, self.arm) for s in range(self.t)]


def find(folder: Path, model: str, arm: str = MAIN) -> RunModel:
    """The model of a run folder.

    Raises
    ------
    InputError
        When the folder is no run folder, or has no such arm or model.
    """
    run = Run(folder.resolve())
    study = read_study(run)
    if arm not in study.arms:
        raise InputError(f"--arm {arm}: is no arm of {folder}; choose from {', '.join(study.arms)}")
    known = [t for t, own in models(study, "every model") if own == arm or t == 0]
    number = re.fullmatch(r"M(\d{1,9})", model)
    if number is None or int(number[1]) not in known:
        names = ", ".join(f"M{t}" for t in known)
        raise InputError(f"--model {model}: is no model of {folder} (arm {arm}); choose from {names}")
    return RunModel(run, study, int(number[1]), arm)


def check_finished(model: RunModel, *places: Place) -> None:
    """Refuse work that is not finished, or not what its stage wrote.

    Raises
    ------
    InputError
        It names the stage, or the file.
    """
    for own in places:
        manifest = model.run.root / own.manifest
        if not manifest.exists():
            raise InputError(f"{manifest.parent}: is not finished; ldr run goes on with it")
        if bad := damaged(manifest):
            raise InputError(f"{bad[0]}: missing or changed since it was written; ldr run builds it again")


def folder_of(model: RunModel) -> str:
    """Where it lies in the run folder."""
    return model_name(model.t, model.arm)
