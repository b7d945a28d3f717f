"""The prompt sets and test sets of a study, aligned by id across languages."""

from __future__ import annotations

import random

import pandas as pd

from ldr_utils.micro.lexicon import LANGUAGES
from ldr_utils.micro.records import alpaca_record, mgsm_record, prompt_record
from ldr_utils.micro.references import reference_answers
from ldr_utils.micro.world import draw_distinct
from ldr_utils.params import DataParams
from ldr_utils.paths import Run
from ldr_utils.records import Record, read_jsonl, write_jsonl

DataSet = dict[str, list[Record]]


def micro_sets(params: DataParams) -> dict[str, DataSet]:
    """Draw the micro world's sets: ``iteration0``.., ``mgsm`` and ``x_alpacaeval``, each by language.

    The seed decides every draw; training prompts and test problems come from disjoint reserves (``micro.world``).
    """
    every = params.arithmetic_share

    def family(position: int) -> str:
        return "arithmetic" if int((position + 1) * every) > int(position * every) else "instruction"

    rng = random.Random(f"prompts-{params.seed}")
    prompts = draw_distinct(rng, params.iterations * params.prompts_per_iteration, "prompts", family)
    sets: dict[str, DataSet] = {}
    for t in range(params.iterations):
        tasks = prompts[t * params.prompts_per_iteration : (t + 1) * params.prompts_per_iteration]
        sets[f"iteration{t}"] = {
            lang: [prompt_record(task, f"prompt-{t}-{k:04d}", lang) for k, task in enumerate(tasks)]
            for lang in params.languages
        }
    rng = random.Random(f"test-{params.seed}")
    problems = draw_distinct(rng, params.mgsm_problems, "test", lambda _: "arithmetic")
    sets["mgsm"] = {
        lang: [mgsm_record(task, f"mgsm-{k:04d}", lang) for k, task in enumerate(problems)]
        for lang in params.all_languages
    }
    instructions = draw_distinct(rng, params.alpaca_prompts, "test", lambda _: "instruction")
    references = [reference_answers(task, rng) for task in instructions]
    sets["x_alpacaeval"] = {
        lang: [
            alpaca_record(task, f"alpaca-{k:04d}", lang, reference[lang])
            for k, (task, reference) in enumerate(zip(instructions, references, strict=True))
        ]
        for lang in params.all_languages
    }
    return sets


def check_micro_languages(languages: list[str]) -> list[str]:
    """Languages that the micro world lacks."""
    return [lang for lang in languages if lang not in LANGUAGES]


def write_sets(run: Run, sets: dict[str, DataSet]) -> None:
    """Write every set as ``data/<set>/<lang>.jsonl``."""
    for name, by_language in sets.items():
        for lang, records in by_language.items():
            write_jsonl(run.data / name / f"{lang}.jsonl", records)


def read_set(run: Run, name: str, languages: list[str]) -> DataSet:
    """Read one set back."""
    return {lang: read_jsonl(run.data / name / f"{lang}.jsonl") for lang in languages}


def misaligned(by_language: DataSet) -> list[str]:
    """Languages whose ids differ from the first language's, in content or order."""
    ids = {lang: [record["id"] for record in records] for lang, records in by_language.items()}
    first = next(iter(ids.values()))
    return [lang for lang, own in ids.items() if own != first]


def shared_problems(sets: dict[str, DataSet], lang: str) -> pd.DataFrame:
    """How many problems each pair of sets has in common (diagonal: the size of each set)."""
    problems = {name: {record["problem"] for record in by_language[lang]} for name, by_language in sets.items()}
    return pd.DataFrame(
        {a: {b: len(problems[a] & problems[b]) for b in problems} for a in problems}, index=list(problems)
    )


def length_table(sets: dict[str, DataSet]) -> pd.DataFrame:
    """One row a prompt: ``set``, ``lang``, ``words``."""
    return pd.DataFrame(
        [
            {"set": name, "lang": lang, "words": len(record["prompt"].split())}
            for name, by_language in sets.items()
            for lang, records in by_language.items()
            for record in records
        ]
    )
