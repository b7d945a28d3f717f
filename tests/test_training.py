"""The trainer optimises the paper's objective, from the right start, against the right reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ldr_utils.loss import dpo_nll
from ldr_utils.params import TrainingParams
from ldr_utils.training import build_trainer, start_policy, tokenize_pairs, train

PAIRS = [
    {"prompt": "Ordena: 3, 1.", "chosen": "Los números son: 1, 3.", "rejected": "3, 1."},
    {"prompt": "Ordena: 9, 4.", "chosen": "4, 9.", "rejected": "Los números de menor a mayor son: 9, 4."},
    {"prompt": "Who has more?", "chosen": "Anna has more.", "rejected": "Anna has more."},
    {"prompt": "Wer hat mehr?", "chosen": "Emma hat die meisten Bücher.", "rejected": "Emma has the most books."},
]


def params(tmp_path: Path, **changes: Any) -> TrainingParams:
    values: dict[str, Any] = {"run_dir": str(tmp_path), "train_batch_size": 4, "warmup_steps": 0, "threads": 1}
    return TrainingParams(**(values | changes))


def trainer_for(tmp_path: Path, **changes: Any) -> Any:
    own = params(tmp_path, **changes)
    policy = start_policy(own)
    rows, _ = tokenize_pairs(policy, PAIRS, own.max_length)
    return build_trainer(policy, rows, own, tmp_path / "checkpoints")


def batch_of(trainer: Any) -> dict[str, torch.Tensor]:
    return trainer.data_collator([trainer.train_dataset[i] for i in range(len(PAIRS))])  # type: ignore[no-any-return]


def log_probability(model: Any, row: dict[str, Any], side: str) -> torch.Tensor:
    """Summed log-probability of a completion, computed the plain way, one sequence at a time."""
    ids = torch.tensor([row["prompt_ids"] + row[f"{side}_ids"]])
    logits = model(input_ids=ids).logits.log_softmax(-1)
    start = len(row["prompt_ids"])
    return torch.stack([logits[0, k - 1, ids[0, k]] for k in range(start, ids.shape[1])]).sum()


def disturb(model: Any) -> None:
    """Move the policy away from its reference."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".default." in name:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def test_loss_of_a_batch_is_the_formula_on_separately_computed_log_probabilities(tmp_path: Path) -> None:
    trainer = trainer_for(tmp_path, beta=0.3, alpha=0.7)
    rows = [trainer.train_dataset[i] for i in range(len(PAIRS))]
    reference = {
        s: torch.stack([log_probability(trainer.model, r, s).detach() for r in rows]) for s in ("chosen", "rejected")
    }
    disturb(trainer.model)
    trainer.model.eval()
    policy = {
        s: torch.stack([log_probability(trainer.model, r, s).detach() for r in rows]) for s in ("chosen", "rejected")
    }
    lengths = torch.tensor([len(r["chosen_ids"]) for r in rows])
    expected = dpo_nll(
        policy["chosen"], policy["rejected"], reference["chosen"], reference["rejected"], lengths, 0.3, 0.7
    )
    got = trainer.compute_loss(trainer.model, batch_of(trainer))
    assert got.item() == pytest.approx(expected.total.item(), rel=1e-4)
    assert expected.dpo.item() != pytest.approx(0.6931, abs=1e-3)


def test_sft_arm_is_the_chosen_nll_alone(tmp_path: Path) -> None:
    trainer = trainer_for(tmp_path, arm="sft")
    rows = [trainer.train_dataset[i] for i in range(len(PAIRS))]
    expected = -sum(log_probability(trainer.model, r, "chosen").item() / len(r["chosen_ids"]) for r in rows) / len(rows)
    assert trainer.compute_loss(trainer.model, batch_of(trainer)).item() == pytest.approx(expected, rel=1e-4)


def test_accumulating_single_pairs_moves_the_policy_as_one_batch_does(tmp_path: Path) -> None:
    adapters = []
    for size, accumulation in ((4, 1), (1, 4)):
        trainer = trainer_for(tmp_path / str(size), train_batch_size=size, gradient_accumulation=accumulation)
        train(trainer, tmp_path / str(size) / "checkpoints")
        adapters.append({n: p.detach().clone() for n, p in trainer.model.named_parameters() if ".default." in n})
    assert all(torch.allclose(adapters[0][name], adapters[1][name], atol=1e-5) for name in adapters[0])


def test_second_iteration_starts_from_m1_and_refers_to_it(tmp_path: Path) -> None:
    first = trainer_for(tmp_path)
    train(first, tmp_path / "checkpoints")
    first.model.save_pretrained(tmp_path / "M1" / "adapter", selected_adapters=["default"])
    after_one = log_probability(first.model.eval(), first.train_dataset[0], "chosen").item()

    second = trainer_for(tmp_path / "second", t=2, run_dir=str(tmp_path))
    before_training = log_probability(second.model.eval(), second.train_dataset[0], "chosen").item()
    assert before_training == pytest.approx(after_one, abs=1e-4)
    disturb(second.model)
    chosen, _ = second.compute_ref_log_probs(second.model, batch_of(second))
    assert chosen[0].item() == pytest.approx(after_one, abs=1e-3)
    frozen = [p.requires_grad for n, p in second.model.named_parameters() if ".ref." in n]
    assert frozen
    assert not any(frozen)


def test_overlong_pairs_are_set_aside_whole(tmp_path: Path) -> None:
    policy = start_policy(params(tmp_path))
    long = {"prompt": "x", "chosen": "word " * 400, "rejected": "short"}
    fitting, too_long = tokenize_pairs(policy, [*PAIRS, long], 320)
    assert too_long == [long]
    assert all(row["chosen_ids"][-1] == policy.tokenizer.eos_token_id for row in fitting)
