"""The micro world's prompt sets and test sets."""

from __future__ import annotations

import random

from ldr_utils.micro.examples import alpaca_record, mgsm_record, prompt_record
from ldr_utils.micro.references import reference_answers
from ldr_utils.micro.world import draw_distinct
from ldr_utils.study.params import DataParams
from ldr_utils.study.records import DataSet


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
