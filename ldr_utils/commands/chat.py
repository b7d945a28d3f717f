"""Talk to a trained model of a run folder, in the terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ldr_utils.commands.run_model import check_finished, find
from ldr_utils.policy.backends import open_generator
from ldr_utils.policy.generate import Request
from ldr_utils.policy.load import load_config
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.progress import as_in_a_batch_run
from ldr_utils.study.records import Exchange
from ldr_utils.study.stages import place
from ldr_utils.study.text import visible

RESET = "/reset"
HELP = f"Decoding as in the study. {RESET} forgets what was said; Ctrl-D ends."


def chat(folder: Path, model: str, arm: str = MAIN) -> int:
    """Read questions, one a line, and print the model's answers, until the input ends.

    The conversation so far goes with every question; the model decodes as it did on the study's test sets. Marks that
    act on a screen are spelled out in its answers.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        When the run lacks the model, or it cannot be loaded.
    """
    own = find(folder, model, arm)
    if own.t > 0:
        check_finished(own, place("training", own.t, arm))
    said: list[Exchange] = []
    longest, room = positions(own.answering.base_model), own.answering.decoding.max_new_tokens
    with open_generator(own.answering, own.t) as generator:
        with as_in_a_batch_run(own.name):
            generator.prompt_ids(
                [{"role": "user", "content": "."}]
            )  # loads it: trouble shows before the first question
        _aside(f"{own.name} of {folder}. {HELP}\n")
        for question in _questions():
            if question == RESET:
                said.clear()
                _aside("What was said is forgotten.\n")
                continue
            ids = generator.prompt_ids(Request({}, question, earlier=tuple(said)).messages())
            while said and len(ids) + room > longest:
                said.pop(0)
                ids = generator.prompt_ids(Request({}, question, earlier=tuple(said)).messages())
                _aside(f"(the oldest question is forgotten: the model reads {longest} tokens)\n")
            reply = generator.complete([ids])[0]
            show(reply.text)
            if not reply.finished:
                _aside("(cut off: the answer is as long as the study lets one be)\n")
            said.append((question, reply.text))
    return 0


def show(text: str) -> None:
    """Print what a model wrote: marks that act on a screen are spelled out."""
    print(visible(text), flush=True)


def positions(base_model: str) -> int:
    """How many tokens a model can read and write, by its config."""
    return int(getattr(load_config(base_model).get_text_config(), "max_position_embeddings", 0) or 10**9)


def _questions() -> Iterator[str]:
    """Lines of the input that are not empty; a person is asked for them.

    They are UTF-8 in every environment: another encoding would make another question of the same letters.
    """
    while True:
        _aside("> ")
        line = sys.stdin.buffer.readline()
        if not line:
            _aside("\n")
            return
        try:
            question = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise InputError("chat: a question is not UTF-8; have the terminal or the file write UTF-8") from None
        if question:
            yield question


def _aside(text: str) -> None:
    """What is for a person who types, and not for whoever reads the answers from a pipe."""
    if sys.stdin.isatty():
        print(text, end="", file=sys.stderr, flush=True)
