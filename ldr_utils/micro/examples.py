"""Turn micro-world problems into the records that the study reads."""

from __future__ import annotations

from ldr_utils.micro.tasks import Task
from ldr_utils.study.records import Prompt, Rubric


def prompt_record(task: Task, example: str, lang: str) -> Prompt:
    """A training prompt, with the rubric that the micro judge scores answers by."""
    return {
        "id": example,
        "lang": lang,
        "family": task.family,
        "kind": task.kind,
        "level": task.level,
        "problem": task.key,
        "prompt": task.prompt[lang],
        "rubric": rubric(task, lang),
    }


def rubric(task: Task, lang: str) -> Rubric:
    """What the judge looks for: see ``ldr_utils.judges.rubric``."""
    return {
        "lang": lang,
        "facts": task.facts[lang],
        "wrong": task.wrong.get(lang, []),
        "value": task.value,
        "words": len(task.answer[lang].split()),
    }


def mgsm_record(task: Task, example: str, lang: str) -> Prompt:
    """A micro-MGSM problem."""
    return {**prompt_record(task, example, lang), "gold": str(task.value), "solution": task.answer[lang]}


def alpaca_record(task: Task, example: str, lang: str, reference: str) -> Prompt:
    """A micro X-AlpacaEval instruction with its reference answer."""
    return {**prompt_record(task, example, lang), "reference": reference}
