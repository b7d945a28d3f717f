"""The front door and the pages behind it: short, without dead links, and saying what the code says."""

from __future__ import annotations

import ast
import re
from argparse import _SubParsersAction
from pathlib import Path

import pytest
from conftest import SHIPPED

from ldr_utils.cli import build_parser
from ldr_utils.study.paths import ROOT

README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
SUBPACKAGES = sorted(path.parent for path in (ROOT / "ldr_utils").glob("*/__init__.py"))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What a link into a page can name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_is_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= (120 if page == README else 110)
    assert [line for line in lines if len(line) > 130 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in link]
    dead = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_readme_leads_to_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in text] == []


@pytest.mark.parametrize("folder", SUBPACKAGES, ids=lambda folder: folder.name)
def test_the_tree_says_of_a_sub_package_what_it_says_of_itself(folder: Path) -> None:
    says = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert says is not None
    lines = re.findall(rf"^  {folder.name}/ +(.+)$", README.read_text(encoding="utf-8"), re.M)
    assert lines == [says.splitlines()[0]]


def test_the_tree_has_every_folder_of_the_repository() -> None:
    tree = README.read_text(encoding="utf-8")
    for name in ("notebooks", "ldr_utils", "params", "models", "reports", "tests", "benchmarks", "docs"):
        assert (ROOT / name).is_dir()
        assert re.search(rf"^{name}/ +\S", tree, re.M), name


def test_commands_and_options_of_the_pages_exist() -> None:
    commands = next(a for a in build_parser()._actions if isinstance(a, _SubParsersAction)).choices
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert set(commands) == set(re.findall(r"^## ldr ([\w-]+)$", page, re.M))
    for path in (README, *PAGES):
        for command, rest in re.findall(r"(?<![\w/])ldr ([a-z][\w-]*)([^\n`]*)", _code(path)):
            assert command in commands, f"{path.name}: ldr {command}"
            options = set(commands[command]._option_string_actions)
            assert set(re.findall(r"(?<!\S)--[a-z]+", rest.split(" # ")[0])) <= options, f"{path.name}: {command}{rest}"


def _code(page: Path) -> str:
    """Blocks of code, and code in a line."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?$(.*?)^```$", text, re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    return "\n".join([*blocks, *spans]).replace(".venv/bin/ldr", "ldr")


def test_stages_of_the_command_line_page_are_those_of_the_command() -> None:
    commands = next(a for a in build_parser()._actions if isinstance(a, _SubParsersAction)).choices
    until = next(action for action in commands["run"]._actions if action.dest == "until")
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    listed = re.search(r"The stages, in order: (.+?)\n  \(", page, re.S)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == list(until.choices or [])


def test_every_notebook_has_its_row() -> None:
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    notebooks = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    assert re.findall(r"^\| \[(\w+)\]", page, re.M) == notebooks


def test_every_params_file_is_mentioned() -> None:
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("params.md", "real-models.md"))
    files = [path.stem for path in SHIPPED]
    assert [name for name in files if not re.search(rf"`(params/)?{re.escape(name)}(\.yaml)?`", text)] == []
