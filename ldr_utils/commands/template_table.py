"""Writes the table of docs/chat-templates.md: what ``policy.chat`` finds in the templates of TRL's package.

``python -m ldr_utils.commands.template_table``. A test fails where the page says anything else than is found.
"""

from __future__ import annotations

import re
import tempfile
import textwrap
from importlib.resources import files
from pathlib import Path
from typing import Any

from ldr_utils.commands.stand_ins import FAMILIES, make_tokenizer
from ldr_utils.policy.chat import NO_THOUGHTS, Chat, Settings, read_chat
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import ROOT

PAGE = ROOT / "docs" / "chat-templates.md"
BLANKS = "\n padded \n"
HEADER = ["template", "text", "end of turn", "system prompt", "beginning", "date", "verdict"]


def templates() -> dict[str, tuple[str, str]]:
    """The family of every template, and its text; a later revision is of the family of the first."""
    shipped = {path.name.removesuffix(".jinja"): path for path in (files("trl") / "chat_templates").iterdir()}
    names = [name for name in shipped if not name.endswith(("_training", ".md"))]
    found = {name: (_family(name), shipped[name].read_text(encoding="utf-8")) for name in names}
    others = {name: (name, own.template_text(name)) for name, own in FAMILIES.items() if name not in found}
    return dict(sorted((found | {k: v for k, v in others.items() if "{" in FAMILIES[k].template}).items()))


def _family(name: str) -> str:
    return name if name in FAMILIES else re.sub(r"_v\d+$|_vl$", "", name)


def page() -> str:
    """The text of the page: what is written there by hand, and the table."""
    rows: list[list[str]] = []
    refused: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (family, template) in templates().items():
            tokenizer = make_tokenizer(Path(folder) / name, family)
            tokenizer.chat_template = template
            found, settings = _first_that_holds(tokenizer, name)
            if isinstance(found, str):
                refused.append(f"{len(refused) + 1}. {name}: `{found}`")
                rows.append([name, *["-"] * 5, f"refused ({len(refused)})"])
            else:
                rows.append([name, *_facts(found, settings), _verdict(settings)])
    lines = [f"| {' | '.join(row)} |" for row in (HEADER, ["---"] * len(HEADER), *rows)]
    wrapped = [textwrap.fill(line, 128, subsequent_indent="   ", break_on_hyphens=False) for line in refused]
    closing = "The refused, with the line that says so (each after the parameter and the name of the model):"
    prose = PAGE.read_text(encoding="utf-8").split("| template |")[0]
    return prose + "\n".join([*lines, "", closing, "", *wrapped]) + "\n"


def _first_that_holds(tokenizer: Any, name: str) -> tuple[Chat | str, Settings]:
    """The protocol, with the least that has to be set; otherwise why not."""
    why = ""
    for settings in (Settings(), *(Settings(values) for values in NO_THOUGHTS)):
        try:
            return read_chat(tokenizer, settings, name, len(tokenizer)), settings
        except InputError as error:
            why = why or str(error).removeprefix(f"{name}: ")
    return why, Settings()


def _facts(chat: Chat, settings: Settings) -> list[str]:
    tokenizer = chat.tokenizer
    whole = BLANKS in tokenizer.decode(chat.prompt_ids([{"role": "user", "content": BLANKS}]))
    (bos,) = chat.prompt_ids([{"role": "user", "content": BLANKS}])[:1]
    beginning = "us" if chat.opening else "template" if bos == tokenizer.bos_token_id else "-"
    mark = "" if chat.end == tokenizer.eos_token_id else "**"
    try:
        read_chat(tokenizer, Settings(settings.template, "Be brief."), "", len(tokenizer))
        system = "yes"
    except InputError:
        system = "**no**"
    return [
        "whole" if whole else "trimmed",
        f"{mark}`{tokenizer.convert_ids_to_tokens(chat.end)}`{mark}".replace("|", "\\|"),
        system,
        beginning,
        "asked for" if chat.dated else "-",
    ]


def _verdict(settings: Settings) -> str:
    values = ", ".join(f"{name}: {str(value).lower()}" for name, value in settings.template.items())
    return f"holds with `{{{values}}}`" if values else "holds"


def main() -> None:
    """Write the table."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
