"""Alignment tax in the micro world: what M_t keeps of what the base model was pretrained on, measured on held-out text.

The base model's pretraining (``ldr_utils.micro.pretrain``) had two kinds of text: questions with their answers, and
translations between English and every other language. Perplexity of both and the accuracy of translations are taken on
problems that no model was trained on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ldr_utils.judges.rubric import is_right
from ldr_utils.method.translation import parse_translation, translation_requests
from ldr_utils.micro.examples import rubric
from ldr_utils.micro.lexicon import DOMINANT
from ldr_utils.micro.pretrain import translation_exchange
from ldr_utils.micro.tasks import Task
from ldr_utils.micro.world import draw_distinct
from ldr_utils.policy.generate import Generator, batches_by_length, generate_file
from ldr_utils.policy.load import Policy
from ldr_utils.scores.rows import Rows
from ldr_utils.scores.stats import Floats, Interval
from ldr_utils.study.params import TaxParams
from ldr_utils.study.records import Exchange

KINDS = ("answers", "translations")


def held_out(params: TaxParams) -> list[Task]:
    """Problems of both families in turn, from the reserve of tests: none was in pretraining or is a training prompt."""
    rng = random.Random(f"tax-{params.seed}")
    families = ("arithmetic", "instruction")
    return draw_distinct(rng, params.tax_problems, "test", lambda position: families[position % 2])


def sources(languages: Sequence[str], n: int) -> dict[str, list[str]]:
    """The language that each of ``n`` texts is translated from, by target: English, and into it the others in turn."""
    others = cycle(lang for lang in languages if lang != DOMINANT)
    return {lang: [next(others) if lang == DOMINANT else DOMINANT for _ in range(n)] for lang in languages}


def exchanges(tasks: Sequence[Task], languages: Sequence[str]) -> dict[tuple[str, str], list[Exchange]]:
    """Held-out pretraining text by (language, kind), the same problems everywhere; a translation counts as its target.

    Pretraining had questions of every level in English only; elsewhere those above the first measure what a model may
    have gained, not what it kept.
    """
    found: dict[tuple[str, str], list[Exchange]] = {}
    for lang, origins in sources(languages, len(tasks)).items():
        found[lang, "answers"] = [(task.prompt[lang], task.answer[lang]) for task in tasks]
        found[lang, "translations"] = [
            translation_exchange(task.answer, origin, lang) for task, origin in zip(tasks, origins, strict=True)
        ]
    return found


def exchange_losses(policy: Policy, texts: Sequence[Exchange], batch_size: int) -> Floats:
    """Negative log-likelihood of every exchange under the chat template, all tokens after the first.

    Returns
    -------
    array, shape (exchanges, 2)
        Nats, and tokens.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    ids = [
        torch.tensor(policy.prompt_ids([{"role": "user", "content": user}]) + policy.completion_ids(assistant))
        for user, assistant in texts
    ]
    losses: Floats = np.zeros((len(texts), 2))
    for batch in batches_by_length([len(own) for own in ids], batch_size):
        padded = pad_sequence([ids[i] for i in batch], batch_first=True)  # on the right, where no token looks
        padded = padded.to(policy.model.device)
        with torch.inference_mode():
            logits = policy.model(input_ids=padded).logits[:, :-1].float()
        nats = cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none")
        for i, row in zip(batch, nats, strict=True):
            losses[i] = row[: len(ids[i]) - 1].sum().item(), len(ids[i]) - 1
    return losses


def perplexity(losses: Floats) -> Interval:
    """Perplexity of texts with 95 % bounds: those of a ratio estimator (nats a token), on the log scale.

    Parameters
    ----------
    losses : array, shape (problems, texts, 2)
        Nats and tokens of every text; the texts of one problem vary together.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    nats, tokens = losses.sum(axis=1).T
    n, ratio = len(losses), nats.sum() / tokens.sum()
    residuals = (nats - ratio * tokens) / tokens.mean()
    margin = stdtrit(n - 1, 0.975) * np.sqrt(residuals.var(ddof=1) / n) if n > 1 else np.inf
    low, high = np.exp([ratio - margin, ratio + margin])
    return Interval(float(np.exp(ratio)), float(low), float(high), n)


def perplexity_rows(losses: Mapping[tuple[str, str], Floats], params: TaxParams) -> list[dict[str, Any]]:
    """Rows of results.csv: ``perplexity``, and by kind ``perplexity_answers`` and ``perplexity_translations``.

    Averages over languages pool their tokens.
    """
    found = Rows(params, "tax")
    for metric, kinds in {"perplexity": KINDS, **{f"perplexity_{kind}": (kind,) for kind in KINDS}}.items():

        def pooled(languages: Sequence[str], kinds: Sequence[str] = kinds) -> Interval:
            return perplexity(np.stack([losses[lang, kind] for lang in languages for kind in kinds], axis=1))

        found.add_with(metric, pooled, params.all_languages)
    return found.rows


def score_translations(
    generator: Generator, tasks: Sequence[Task], languages: Sequence[str], folder: Path
) -> pd.DataFrame:
    """Let M_t translate right answers, and look for their content in what comes out.

    Returns
    -------
    DataFrame
        ``id``, ``lang`` (target), ``translation_accuracy`` (1 where all content is there; a failed one is 0).
    """
    table: list[dict[str, Any]] = []
    for lang, origins in sources(languages, len(tasks)).items():
        requests = [
            request
            for position, (task, origin) in enumerate(zip(tasks, origins, strict=True))
            for request in translation_requests(
                [{"id": f"tax-{position:04d}", "response": task.answer[origin]}], origin, lang
            )
        ]
        replies = generate_file(generator, requests, folder / f"{lang}.jsonl", f"into {lang}")
        for task, reply in zip(tasks, replies, strict=True):
            text = parse_translation(reply["response"]).text or ""
            right = float(is_right(rubric(task, lang), text))
            table.append({"id": reply["id"], "lang": lang, "translation_accuracy": right})
    return pd.DataFrame(table)


def micro_rows(policy: Policy, generator: Generator, params: TaxParams, folder: Path) -> list[dict[str, Any]]:
    """All rows of the micro world's alignment tax; the translations are kept in ``folder``/translations."""
    tasks, languages = held_out(params), params.all_languages
    table = score_translations(generator, tasks, languages, folder / "translations")
    losses = {
        key: exchange_losses(policy, texts, params.batch_size) for key, texts in exchanges(tasks, languages).items()
    }
    accuracy = Rows(params, "tax")
    accuracy.add("translation_accuracy", table)
    return perplexity_rows(losses, params) + accuracy.rows
