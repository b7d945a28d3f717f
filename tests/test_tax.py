"""The alignment tax of the micro world: perplexity and translation accuracy on held-out pretraining text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ldr_utils.micro import tax
from ldr_utils.micro.world import use_of
from ldr_utils.policy.transformers import TransformersGenerator
from ldr_utils.study.params import TaxParams

PARAMS = TaxParams(languages=["en", "es"], unseen=["sw"], tax_problems=4, batch_size=3, threads=1)


@pytest.fixture(scope="module")
def generator() -> TransformersGenerator:
    return TransformersGenerator.load(PARAMS, 0)


def test_held_out_problems_are_of_both_families_and_of_no_training() -> None:
    tasks = tax.held_out(PARAMS)
    assert [task.family for task in tasks] == ["arithmetic", "instruction"] * 2
    assert {use_of(task.key) for task in tasks} == {"test"}
    assert tasks == tax.held_out(PARAMS)
    assert tasks != tax.held_out(PARAMS.model_copy(update={"seed": 1}))


def test_translations_come_from_english_and_into_it_from_the_others_in_turn() -> None:
    assert tax.sources(["en", "es", "sw"], 3) == {"en": ["es", "sw", "es"], "es": ["en"] * 3, "sw": ["en"] * 3}
    task = tax.held_out(PARAMS)[0]
    user, assistant = tax.exchanges([task], PARAMS.all_languages)["es", "translations"][0]
    assert f"<sentence>\n{task.answer['en']}\n</sentence>" in user
    assert assistant == f"<translated>\n{task.answer['es']}\n</translated>"


def test_losses_are_those_of_the_model_one_text_at_a_time(generator: TransformersGenerator) -> None:
    """Against the loss that transformers computes itself, without batches or padding."""
    import torch

    texts = tax.exchanges(tax.held_out(PARAMS), ["en", "es"])["es", "answers"]
    found = tax.exchange_losses(generator.policy, texts, batch_size=3)
    for (user, assistant), (nats, tokens) in zip(texts, found, strict=True):
        prompt = generator.policy.prompt_ids([{"role": "user", "content": user}])
        ids = torch.tensor([prompt + generator.policy.completion_ids(assistant)])
        with torch.inference_mode():
            loss = generator.policy.model(input_ids=ids, labels=ids).loss.item()
        assert tokens == ids.shape[1] - 1
        assert nats == pytest.approx(loss * tokens, rel=1e-4)


def test_perplexity_pools_tokens_and_bounds_it() -> None:
    losses = np.array([[[2.0, 4]], [[9.0, 6]]])
    found = tax.perplexity(losses)
    assert found.value == pytest.approx(np.exp(11 / 10))
    assert 0 < found.low < found.value < found.high
    assert found.n == 2
    same = tax.perplexity(np.array([[[2.0, 4]], [[3.0, 6]]]))
    assert same.low == pytest.approx(same.value) == pytest.approx(same.high) == pytest.approx(np.exp(0.5))


def test_perplexity_bounds_cover_the_truth() -> None:
    """95 % bounds, 400 draws of 40 texts whose lengths and losses vary together."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        tokens = rng.integers(10, 60, size=(40, 1))
        nats = tokens * rng.gamma(4, 0.1, size=(40, 1))
        found = tax.perplexity(np.stack([nats, tokens], axis=-1).astype(np.float64))
        hits += found.low <= np.exp(0.4) <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_rows_and_translations_of_the_base_model(generator: TransformersGenerator, tmp_path: Path) -> None:
    rows = tax.micro_rows(generator.policy, generator, PARAMS, tmp_path)
    metrics = ["perplexity", "perplexity_answers", "perplexity_translations", "translation_accuracy"]
    assert list(dict.fromkeys(row["metric"] for row in rows)) == metrics
    assert {row["task"] for row in rows} == {"tax"}
    keys = [(row["metric"], row["lang"], row["split"]) for row in rows]
    languages = [("en", "train"), ("es", "train"), ("sw", "unseen"), *(("avg", s) for s in ("train", "unseen", "all"))]
    assert sorted(keys) == sorted((metric, *own) for metric in metrics for own in languages)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    own = {(row["metric"], row["lang"]): row["value"] for row in rows}
    assert 1 < own["perplexity_translations", "es"] < own["perplexity_answers", "es"] < 10
    assert own["translation_accuracy", "es"] >= 0.5
    assert rows == tax.micro_rows(generator.policy, generator, PARAMS, tmp_path)  # from what it finds
