"""Where things lie: in the repository and in a run folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def from_root(path: str | Path) -> Path:
    """``path`` as given when absolute, otherwise relative to the repository: the same from any working directory."""
    return ROOT / path


def shortest(path: Path) -> str:
    """Relative to the repository where it lies inside, so that nothing in a run tells where the clone was."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def check_names(key: str, folder: Path, names: Iterable[str]) -> None:
    """Refuse a file whose name is one of ``names`` but for capitals and blanks: it would be passed over in silence.

    Raises
    ------
    InputError
        Which names the parameter ``key``, the file and its right name.
    """
    by_sight = {name.casefold(): name for name in names}
    for path in sorted(folder.glob("*")):
        name = by_sight.get("".join(path.name.split()).casefold())
        if name and path.name != name:
            raise InputError(f"{key}: {path} would be passed over; rename it to {name}")


def run_folder(study: str, out: Path | None) -> Path:
    """Where a study runs: ``out``, relative to the working directory, or ``runs/<study>`` of the repository."""
    return from_root(f"runs/{study}") if out is None else out.resolve()


@dataclass(frozen=True)
class Run:
    """The files of one run folder (the layout is a contract with tools outside the project)."""

    root: Path

    @classmethod
    def at(cls, run_dir: str | Path) -> Run:
        return cls(from_root(run_dir))

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def results(self) -> Path:
        return self.root / "results.csv"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def figures(self) -> Path:
        return self.report / "figures"

    @property
    def judge_cache(self) -> Path:
        """Every verdict that a language model gave: paid for once, kept whatever becomes of the stages."""
        return self.root / "judge_cache.jsonl"

    @property
    def judge_check(self) -> Path:
        """What ``ldr judge-check`` found; its folder may be there before anything else is."""
        return self.root / "judge_check" / "agreement.csv"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def prompts(self) -> Path:
        """Training prompts that were translated."""
        return self.root / "prompts"

    def test_set(self, task: str) -> Path:
        return self.data / task

    def model(self, t: int, arm: str = MAIN) -> Path:
        """Folder of M_t. M_0 is shared by the arms; the main arm has the top level to itself."""
        return self.root / model_name(t, arm)

    def stage(self, t: int, name: str, arm: str = MAIN) -> Path:
        return self.model(t, arm) / name

    def pairs(self, t: int, arm: str = MAIN) -> Path:
        """Folder of the pairs that an arm's M_{t+1} is trained on."""
        return self.root / pairs_name(t, arm)


def model_name(t: int, arm: str) -> str:
    """``M1``, or ``arms/sft/M1``: the name of M_t inside a run folder."""
    return f"M{t}" if t == 0 or arm == MAIN else f"arms/{arm}/M{t}"


def pairs_name(t: int, arm: str) -> str:
    """``M0/pairs``, or ``arms/no_equal_pairs/M0/pairs`` for an arm that selects its pairs itself."""
    return f"arms/{arm}/M{t}/pairs" if ARMS[arm].pairs else f"{model_name(t, arm)}/pairs"


def label(t: int, arm: str) -> str:
    """``M1``, or ``M1_sft``: the name of M_t in the names of figures and, with a blank, in their titles."""
    return f"M{t}" if arm == MAIN else f"M{t}_{arm}"
