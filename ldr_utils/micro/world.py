"""Seeded draws from the micro world: prompts, test sets and pretraining material that never share a problem."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

from ldr_utils.micro.arithmetic import word_problem
from ldr_utils.micro.instructions import KINDS
from ldr_utils.micro.tasks import Task
from ldr_utils.study.errors import InputError

# Problems are assigned to a use by a hash of their content, so that no two uses can ever meet, whatever the seeds.
PATIENCE = 10_000  # draws in a row that bring nothing new
_USES = {"pretrain": range(12), "prompts": range(12, 16), "test": range(16, 20)}


def use_of(key: str) -> str:
    """The only use (``pretrain``, ``prompts`` or ``test``) that the problem ``key`` may serve."""
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 20
    return next(use for use, buckets in _USES.items() if bucket in buckets)


def draw_task(rng: random.Random, family: str, level: int | None = None, slip: float = 0.0) -> Task:
    """Draw one problem; ``level`` defaults to 1, 2 or 3 with weights 1, 2, 2."""
    level = level or rng.choice((1, 2, 2, 3, 3))
    if family == "arithmetic":
        return word_problem(rng, level, slip)
    return KINDS[rng.choice(tuple(KINDS))](rng, level)


def draw_distinct(rng: random.Random, n: int, use: str, family: Callable[[int], str]) -> list[Task]:
    """Draw ``n`` distinct problems reserved for ``use``; ``family`` maps the position to a task family.

    Raises
    ------
    InputError
        When a world of templates seems to hold no more.
    """
    drawn: dict[str, Task] = {}
    in_vain = 0
    while len(drawn) < n:
        task = draw_task(rng, family(len(drawn)))
        if use_of(task.key) == use and task.key not in drawn:
            drawn[task.key] = task
            in_vain = 0
        elif (in_vain := in_vain + 1) == PATIENCE:
            held = f"the micro world: holds some {len(drawn)} problems of a kind, not {n}"
            raise InputError(f"{held}; lower prompts_per_iteration, iterations, mgsm_problems or alpaca_prompts")
    return list(drawn.values())
