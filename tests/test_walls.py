"""The house: ten sub-packages whose imports point downwards; what a stage is does not depend on the plumbing."""

from __future__ import annotations

import ast
import shutil
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from ldr_utils.study import provenance
from ldr_utils.study.paths import ROOT
from ldr_utils.study.stages import BY_NOTEBOOK, STAGES

PACKAGE = ROOT / "ldr_utils"
ROOMS = ("languages", "study", "policy", "method", "judges", "scores", "micro", "data", "report", "commands")
FLOORS = [
    *ROOMS[:2],
    "colab",
    *ROOMS[2:],
    "cli",
]  # from the lowest; colab.py needs next to nothing, for it installs the rest
DOORS = {"__init__", "cli", "colab"}  # beside the sub-packages: what is run by its path or its name


def imports(path: Path) -> set[str]:
    """Modules of the package that a module imports, inside of functions and for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    known = {name for name in found if name.startswith("ldr_utils.")}
    return {name for name in known if module(name).exists()}


def module(name: str) -> Path:
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def arrows_upwards(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        floor = path.relative_to(package).parts[0].removesuffix(".py")
        for target in sorted(imports(path)) if floor in FLOORS else []:
            room = target.split(".")[1]
            if room not in FLOORS or FLOORS.index(room) > FLOORS.index(floor):
                found.append(f"{path.relative_to(package)} -> {target}")
    return found


def test_every_import_points_downwards() -> None:
    assert arrows_upwards(PACKAGE) == []


def test_an_arrow_that_runs_up_would_be_seen(tmp_path: Path) -> None:
    package = tmp_path / "ldr_utils"
    (package / "study").mkdir(parents=True)
    (package / "study" / "new.py").write_text("def f():\n    from ldr_utils.report import figures\n")
    (package / "study" / "door.py").write_text("from ldr_utils import cli\n")
    assert arrows_upwards(package) == [
        "study/door.py -> ldr_utils.cli",
        "study/new.py -> ldr_utils.report.figures",
    ]


def test_no_module_is_in_a_circle() -> None:
    graph = {name_of(path): imports(path) - {name_of(path)} for path in PACKAGE.rglob("*.py")}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_nothing_stands_outside_of_the_rooms() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == DOORS
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)
    assert [path for path in PACKAGE.glob("*/*") if path.is_dir() and path.name != "__pycache__"] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_its_job_in_one_line_and_hands_nothing_on(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1
    said = ast.get_docstring(tree)
    assert said
    assert "\n" not in said


def test_the_main_arm_is_named_in_one_file() -> None:
    places = [*PACKAGE.rglob("*.py"), ROOT / "Snakefile"]
    assert [path.name for path in places if '"lidr"' in path.read_text(encoding="utf-8")] == ["arms.py"]


# What a stage is


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose files may be edited; checksums are taken of it."""
    shutil.copytree(PACKAGE, tmp_path / "ldr_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def identities() -> dict[str, str]:
    return {stage.name: provenance.engine_hash(stage.notebook) for stage in STAGES}


def moved(copy: Path, name: str, old: str = "", new: str = "\n# a comment\n") -> set[str]:
    """The stages whose identity another text of a module moves."""
    path, before = copy / "ldr_utils" / name, identities()
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")
    after = identities()
    return {stage for stage in before if before[stage] != after[stage]}


PLUMBING = [
    "study/arms.py",
    "study/params.py",
    "study/locks.py",
    "study/stage.py",
    "study/stages.py",
    "study/progress.py",
    "report/figures.py",
    "report/show.py",
    "commands/memory.py",
    "commands/device.py",
    "judges/endpoint.py",
    "judges/prompted.py",
    "languages/table.py",
]


@pytest.mark.parametrize("name", PLUMBING)
def test_plumbing_moves_no_stage(copy: Path, name: str) -> None:
    assert moved(copy, name) == set()


def test_a_judges_retry_moves_no_stage(copy: Path) -> None:
    assert moved(copy, "judges/endpoint.py", "TRIES = 4", "TRIES = 5") == set()


def test_the_loss_moves_training_alone(copy: Path) -> None:
    assert moved(copy, "method/loss.py") == {"training"}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("method/translators.py", {"prompts", "translation"}),
        ("policy/vllm.py", {"prompts", "generation", "translation", "answers"}),
        ("data/downloads.py", {"data"}),
        ("scores/stats.py", {"pairs", "premise", "x_alpacaeval", "mgsm", "mt_bench", "report"}),
    ],
)
def test_other_code_moves_what_it_computes(copy: Path, name: str, stages: set[str]) -> None:
    costly = {stage.name for stage in STAGES if stage.costly}
    found = moved(copy, name)
    assert found & costly == stages & costly
    assert stages <= found


def test_a_model_is_never_asked_again_for_code_that_only_scores(copy: Path) -> None:
    costly = {stage.name for stage in STAGES if stage.costly}
    for path in sorted((copy / "ldr_utils" / "scores").glob("*.py")):
        assert moved(copy, f"scores/{path.name}") & costly == set(), path.name


def test_the_table_names_every_notebook_of_a_study_once() -> None:
    numbered = {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")} - {"00_base_model"}
    assert set(BY_NOTEBOOK) == numbered
    assert len(BY_NOTEBOOK) == len(STAGES) == len({stage.name for stage in STAGES})
