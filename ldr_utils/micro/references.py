"""Reference answers of middling quality: what micro X-AlpacaEval compares a model with."""

from __future__ import annotations

import random

from ldr_utils.micro.instructions import KINDS
from ldr_utils.micro.lexicon import LANGUAGES
from ldr_utils.micro.tasks import Task


def reference_answers(task: Task, rng: random.Random) -> dict[str, str]:
    """A reference answer by language, flawed in the same way in every language.

    Of ten references, about four are right, four get one piece of content wrong (taken from another problem of the
    same kind), and two break off half-way.
    """
    flaw = rng.choices(("none", "wrong", "short"), weights=(4, 4, 2))[0]
    if flaw == "short":
        return {lang: _first_half(task.answer[lang]) for lang in LANGUAGES}
    if flaw == "wrong":
        return _with_a_wrong_piece(task, rng)
    return dict(task.answer)


def _with_a_wrong_piece(task: Task, rng: random.Random) -> dict[str, str]:
    other = KINDS[task.kind](rng, task.level)
    piece = rng.randrange(min(len(task.facts["en"]), len(other.facts["en"])))
    changed = {lang: task.answer[lang].replace(task.facts[lang][piece], other.facts[lang][piece]) for lang in LANGUAGES}
    if any(changed[lang] == task.answer[lang] for lang in LANGUAGES):  # "He lives in Rome" for "She": one in Spanish
        return _with_a_wrong_piece(task, rng)
    return changed


def _first_half(text: str) -> str:
    words = text.split(" ")
    return " ".join(words[: (len(words) + 1) // 2])
