"""Measure the micro base model, and ship it: weights, tokenizer, checksums and model card."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.judges.rubric import is_right
from ldr_utils.languages.table import BUILT_IN
from ldr_utils.method.translation import parse_translation
from ldr_utils.micro.examples import rubric
from ldr_utils.micro.lexicon import DOMINANT, LANGUAGES
from ldr_utils.micro.world import draw_distinct
from ldr_utils.policy.generate import batches_by_length
from ldr_utils.policy.load import Policy
from ldr_utils.policy.prompts import OPEN_TAG, translation_prompt
from ldr_utils.policy.transformers import complete
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import DecodingParams, PretrainingParams
from ldr_utils.study.progress import track
from ldr_utils.study.provenance import sha256
from ldr_utils.study.text import markdown

CARD = """---
license: apache-2.0
language: [{languages}]
---
# Micro base model (M0)

A Llama of {parameters:.2f} million parameters, trained from scratch by `notebooks/00_base_model.ipynb` on sentences
made by `ldr_utils.micro`. It exists so that the whole study runs on a CPU in minutes. It knows nothing but the
templates of the micro world; do not use it for anything else.

## Data

{tokens:.1f} million tokens of generated exchanges ({minutes:.0f} minutes on two processor cores). The mixture is
imbalanced on purpose:

| share | what |
|---|---|
| {share_dominant:.0%} | question and answer in English, all levels of difficulty |
| {share_others:.0%} | question and answer in the other six languages together, the easiest level only |
| {share_translation:.0%} | translation between English and every other language, in the study's own prompt |

The problems are those reserved for pretraining: none of them is a prompt or a test problem of any study.

## Figures

Held-out problems (seed {seed}, {n} a family): share of right answers by language, answered directly and as the
model's own translation of its English answer.

{table}

## Limits

Seven languages, ten objects, twelve people, numbers up to 99. No knowledge, no safety training, no use outside this
study.
"""


def greedy(policy: Policy, prompts: list[list[int]], params: DecodingParams, what: str) -> list[str]:
    """Greedy answers in the order of the prompts."""
    answers = [""] * len(prompts)
    batches = batches_by_length([len(ids) for ids in prompts], params.batch_size)
    for batch in track(batches, what, total=len(batches)):
        for i, completion in zip(batch, complete(policy, [prompts[i] for i in batch], params), strict=True):
            answers[i] = completion.text
    return answers


def measure(policy: Policy, params: DecodingParams, n: int) -> pd.DataFrame:
    """Right answers by language, family, level and kind of answer on ``n`` held-out problems a family.

    Returns
    -------
    DataFrame
        ``lang``, ``family``, ``level``, ``answer`` (direct or self-translated), ``right``.
    """
    rng = random.Random(f"base-model-{params.seed}")
    tasks = draw_distinct(rng, 2 * n, "test", lambda position: "arithmetic" if position < n else "instruction")
    rows: list[dict[str, Any]] = []
    english: list[str] = []
    for lang in (DOMINANT, *(lang for lang in LANGUAGES if lang != DOMINANT)):
        prompts = [policy.prompt_ids([{"role": "user", "content": task.prompt[lang]}]) for task in tasks]
        answers = {"direct": greedy(policy, prompts, params, lang)}
        if lang == DOMINANT:
            english = answers["direct"]
        else:
            answers["self-translated"] = translate(policy, english, lang, params)
        rows += [
            {
                "lang": lang,
                "family": t.family,
                "level": t.level,
                "answer": kind,
                "right": is_right(rubric(t, lang), text),
            }
            for kind, texts in answers.items()
            for t, text in zip(tasks, texts, strict=True)
        ]
    return pd.DataFrame(rows)


def translate(policy: Policy, texts: list[str], target: str, params: DecodingParams) -> list[str]:
    """The model's own translations into ``target``; a failed one is empty."""
    users = [[{"role": "user", "content": translation_prompt(text, BUILT_IN[target].name)}] for text in texts]
    prompts = [policy.prompt_ids(messages, f"{OPEN_TAG}\n") for messages in users]
    return [parse_translation(reply).text or "" for reply in greedy(policy, prompts, params, f"en-{target}")]


def right_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Share of right answers: families and kinds of answer by language."""
    return measured.pivot_table(index=["family", "answer"], columns="lang", values="right", sort=False)


def write_card(params: PretrainingParams, parameters: float, curve: pd.DataFrame, table: pd.DataFrame) -> str:
    """The model card: data, mixture, figures, limits."""
    return CARD.format(
        languages=", ".join(LANGUAGES),
        parameters=parameters,
        tokens=curve["tokens"].iloc[-1] / 1e6,
        minutes=curve["seconds"].iloc[-1] / 60,
        share_dominant=params.share_dominant,
        share_others=params.share_others,
        share_translation=1 - params.share_dominant - params.share_others,
        seed=params.seed,
        n=params.problems,
        table=markdown(table.reset_index(), digits=3),
    )


def ship(policy: Policy, folder: Path, card: str) -> None:
    """Write float16 weights (safetensors), tokenizer, model card and checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    policy.model.half().save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    write_text(folder / "README.md", card)
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    for path in files:
        path.chmod(0o644)
    write_text(folder / "SHA256SUMS", "".join(f"{sha256(path)}  {path.name}\n" for path in files))
