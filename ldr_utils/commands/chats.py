"""How the chat models of a study are spoken to, asked before anything is spent, of those that are on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ldr_utils.commands.device import Check
from ldr_utils.commands.model_files import translators_of
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import ROOT, from_root


def chat_models(params: StudyParams) -> dict[str, tuple[str, Path]]:
    """The study's chat models on this machine, by the parameter that names them: what it says, and where they lie.

    The model that ships with the micro study is left out: this repository's tests look at it.
    """
    named = {"base_model": params.base_model} | translators_of(params)
    named |= {"judge_model": params.judge_model} if params.judge == "local" else {}
    named |= {"second_judge_model": params.second_judge_model} if params.second_judge == "local" else {}
    micro = StudyParams()
    if all(
        getattr(params, key) == getattr(micro, key) for key in ("base_model", "system_prompt", "chat_template_kwargs")
    ):
        del named["base_model"]
    found = {key: (name, folder_of(name)) for key, name in named.items() if name}
    return {key: (name, at) for key, (name, at) in found.items() if at is not None and not _translates(at)}


def folder_of(name: str) -> Path | None:
    """Where a model's files are on this machine: its folder, or the hub's cache; None where they are not."""
    from ldr_utils.policy.load import cached_folder

    if from_root(name).is_dir():
        return from_root(name)
    with suppress(ValueError):  # a name that the hub would not take
        return cached_folder(name, "config.json", "tokenizer_config.json")
    return None


def check_chats(params: StudyParams) -> None:
    """See to it that every chat model of a study can be spoken to; one that has to be downloaded is passed over.

    Raises
    ------
    InputError
        As ``policy.chat.read_chat``.
    """
    for key, (name, folder) in chat_models(params).items():
        check_chat(params, key, name, folder)


def check_chat(params: StudyParams, key: str, name: str, folder: Path) -> str:
    """What is found out about how a model is spoken to."""
    from ldr_utils.judges.local import judge_settings
    from ldr_utils.policy.chat import MOMENT
    from ldr_utils.policy.load import load_chat, settings_of

    judges = key.endswith("judge_model")
    settings = judge_settings(params.judge_template_kwargs) if judges else settings_of(params, key)
    try:
        chat = load_chat(str(folder), key, settings)
    except InputError as error:
        raise InputError(str(error).replace(str(folder), name)) from None
    dated = f"; it asks for the time, and is told {MOMENT:%Y-%m-%d} every day" if chat.dated else ""
    return f"an answer ends with {chat.tokenizer.convert_ids_to_tokens(chat.end)}{dated}"


def _translates(folder: Path) -> bool:
    """Whether a model is an encoder-decoder: it has no chat template, and needs none."""
    with suppress(OSError, ValueError, AttributeError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return bool(config.get("is_encoder_decoder"))
    return False


def start(params: StudyParams) -> subprocess.Popen[str] | None:
    """Ask in another process, while torch is being imported in a third; None where there is nothing to ask."""
    if not chat_models(params):
        return None
    command = [sys.executable, "-m", "ldr_utils.commands.chats", params.model_dump_json()]
    with suppress(OSError):
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return None


def finish(asked: subprocess.Popen[str] | None, deadline: float) -> list[Check]:
    """A check for every chat model that is on this machine."""
    if asked is None:
        return []
    try:
        output, _ = asked.communicate(timeout=max(0.1, deadline - time.monotonic()))
        return [Check(*own) for own in json.loads(output.splitlines()[-1])]
    except (subprocess.TimeoutExpired, IndexError, ValueError, TypeError):
        asked.kill()
        return [Check("chat template", "warn", "could not be checked: transformers did not answer")]


def main() -> None:
    """Print, as JSON, the fields of a `Check` for every model: the other end of `start`."""
    params = StudyParams.model_validate_json(sys.argv[1])
    checks = []
    for key, (name, folder) in chat_models(params).items():
        title = f"chat template: {key}" if key != "base_model" else "chat template"
        try:
            checks.append((title, "ok", f"{name}: {check_chat(params, key, name, folder)}"))
        except InputError as error:
            checks.append((title, "fail", str(error)))
    print(json.dumps(checks))


if __name__ == "__main__":
    main()
