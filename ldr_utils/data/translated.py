"""Training prompts of a language that has none: the dominant ones, translated (01b)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ldr_utils.data.alignment import problem_of
from ldr_utils.data.files import PROBLEM_PREFIX
from ldr_utils.languages.identify import off_target
from ldr_utils.method.translation import parse_translation
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_jsonl
from ldr_utils.study.records import Dropped, Prompt, Text, Translation


@dataclass(frozen=True)
class Made:
    """The prompts of one iteration in one language, and those that were lost, with reasons."""

    prompts: list[Prompt]
    lost: list[Dropped]


def texts(prompts: Sequence[Prompt]) -> list[Text]:
    """What is translated of prompts: of a word problem the question, for its instruction is ours in any language."""
    return [{"id": prompt["id"], "response": prompt.get("question") or prompt["prompt"]} for prompt in prompts]


def prompts_of(originals: Sequence[Prompt], replies: Sequence[Translation], lang: str, problem_prefix: str) -> Made:
    """The prompts that came of translations; what failed or is in another language is lost, in this language alone.

    Parameters
    ----------
    originals : sequence of Prompt
        Those of the dominant language. Word problems keep their ``gold``.
    replies : sequence of Translation
        To them, in the same order.
    lang : str
        The language that was asked for.
    problem_prefix : str
        Opens a word problem; our words where empty.
    """
    made = Made([], [])
    for original, reply in zip(originals, replies, strict=True):
        found = parse_translation(reply["response"])
        reason = found.error or ("off_target" if off_target(found.text or "", lang) else None)
        if found.text is None or reason is not None:
            row: Dropped = {
                "id": original["id"],
                "lang": lang,
                "via": reply["source_lang"],
                "stage": "prompts",
                "reason": str(reason),
            }
            made.lost.append(row)
        else:
            made.prompts.append(_in_language(original, found.text, lang, problem_prefix))
    return made


def _in_language(original: Prompt, text: str, lang: str, problem_prefix: str) -> Prompt:
    if "question" not in original:
        return {**original, "lang": lang, "prompt": text}
    prefix = problem_prefix or PROBLEM_PREFIX
    own = problem_of(original["id"], lang, original["kind"], text, original["gold"], prefix)
    return {**own, "problem": original["problem"]}


def write(folder: Path, made: Mapping[tuple[str, str], Made]) -> None:
    """Write ``<set>/<lang>.jsonl``, and what was lost as ``<set>/<lang>.dropped.jsonl``, by (set, language).

    Raises
    ------
    InputError
        When a language has lost all prompts of a set: a study that goes on without it would not be the one asked for.
    """
    for (name, lang), own in made.items():
        if not own.prompts:
            reasons = ", ".join(f"{reason} {count}" for reason, count in reasons_of(own).items())
            raise InputError(
                f"translate_prompts: all {len(own.lost)} prompts of {name} were lost in {lang} ({reasons}); "
                f"name another translator, give prompts in {lang}, or leave it out of languages"
            )
    for (name, lang), own in made.items():
        write_jsonl(folder / name / f"{lang}.jsonl", own.prompts)
        write_jsonl(folder / name / f"{lang}.dropped.jsonl", own.lost)


def reasons_of(made: Made) -> dict[str, int]:
    """How many prompts were lost, by reason."""
    return dict(Counter(row["reason"] for row in made.lost))


def summary(made: Mapping[tuple[str, str], Made]) -> pd.DataFrame:
    """One row a set and language: ``prompts`` that were made, ``lost`` ones, and how many of them for which reason."""
    reasons = dict.fromkeys(reason for own in made.values() for reason in reasons_of(own))
    rows = [
        {"set": name, "lang": lang, "prompts": len(own.prompts), "lost": len(own.lost), **reasons_of(own)}
        for (name, lang), own in made.items()
    ]
    table = pd.DataFrame(rows, columns=["set", "lang", "prompts", "lost", *reasons])
    return table.set_index(["set", "lang"]).fillna(0).astype(int)


def counts(made: Mapping[tuple[str, str], Made]) -> dict[str, dict[str, dict[str, int]]]:
    """The same by set and language, for the manifest: ``prompts``, and those lost by reason."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (name, lang), own in made.items():
        found.setdefault(name, {})[lang] = {"prompts": len(own.prompts), **reasons_of(own)}
    return found
