"""The objective against closed forms in plain float arithmetic, and what its gradients must look like."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from ldr_utils.method.loss import OBJECTIVES, Sides, chosen_nll, dpo_nll
from ldr_utils.study.params import TrainingParams

# (log pi(y_w), log pi(y_l), log ref(y_w), log ref(y_l), |y_w|): two lengths a batch, so that a token mean would differ.
BATCH = [(-12.5, -20.0, -14.0, -18.5, 5), (-90.25, -33.0, -88.0, -35.75, 60)]


def tensors(rows: list[tuple[float, float, float, float, int]]) -> list[torch.Tensor]:
    return [torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True)]


def expected_dpo(beta: float) -> float:
    margins = [(w - rw) - (y - ry) for w, y, rw, ry, _ in BATCH]
    return sum(math.log1p(math.exp(-beta * margin)) for margin in margins) / len(BATCH)


def expected_nll() -> float:
    return sum(-w / n for w, *_, n in BATCH) / len(BATCH)


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 4.0])
def test_terms_match_the_closed_form(beta: float, alpha: float) -> None:
    chosen, rejected, reference_chosen, reference_rejected, tokens = tensors(BATCH)
    loss = dpo_nll(chosen, rejected, reference_chosen, reference_rejected, tokens, beta, alpha)
    assert loss.dpo.item() == pytest.approx(expected_dpo(beta), rel=1e-12)
    assert loss.nll.item() == pytest.approx(expected_nll(), rel=1e-12)
    assert loss.total.item() == pytest.approx(expected_dpo(beta) + alpha * expected_nll(), rel=1e-12)


def test_nll_is_a_mean_of_sequence_means_not_of_tokens() -> None:
    chosen, *_, tokens = tensors(BATCH)
    token_mean = -(BATCH[0][0] + BATCH[1][0]) / (BATCH[0][4] + BATCH[1][4])
    got = chosen_nll(chosen, tokens).item()
    assert got == pytest.approx((12.5 / 5 + 90.25 / 60) / 2, rel=1e-12)
    assert abs(got - token_mean) > 0.1


def test_integer_token_counts_are_accepted() -> None:
    chosen, *_, tokens = tensors(BATCH)
    assert chosen_nll(chosen, tokens.long()).item() == pytest.approx(expected_nll(), rel=1e-12)


def test_policy_at_the_reference_costs_log_two() -> None:
    chosen, rejected, *_, tokens = tensors(BATCH)
    loss = dpo_nll(chosen, rejected, chosen, rejected, tokens, beta=0.1, alpha=1.0)
    assert loss.dpo.item() == pytest.approx(math.log(2), rel=1e-12)


@pytest.mark.parametrize("margin", [-1e5, 1e5])
def test_extreme_margins_stay_finite(margin: float) -> None:
    chosen = torch.tensor([margin], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    loss = dpo_nll(chosen, zero, zero, zero, torch.ones(1), beta=1.0, alpha=0.0)
    (slope,) = torch.autograd.grad(loss.dpo, chosen)
    assert loss.dpo.item() == pytest.approx(max(0.0, -margin))
    assert slope.item() == pytest.approx(-1.0 if margin < 0 else 0.0)


def test_gradients_match_the_derivative_and_push_the_right_way() -> None:
    chosen, rejected, reference_chosen, reference_rejected, tokens = tensors(BATCH)
    chosen.requires_grad_()
    rejected.requires_grad_()
    beta, alpha = 0.1, 0.5
    loss = dpo_nll(chosen, rejected, reference_chosen, reference_rejected, tokens, beta, alpha)
    up, down = torch.autograd.grad(loss.total, (chosen, rejected))
    for k, (w, y, rw, ry, n) in enumerate(BATCH):
        slope = beta / (1 + math.exp(beta * ((w - rw) - (y - ry)))) / len(BATCH)
        assert down[k].item() == pytest.approx(slope, rel=1e-12)
        assert up[k].item() == pytest.approx(-slope - alpha / n / len(BATCH), rel=1e-12)
    assert bool((down > 0).all())
    assert bool((up < 0).all())


def test_equal_sides_leave_only_the_nll_gradient() -> None:
    """The reason for keeping equal pairs: no preference gradient, but the NLL term anchors what already works."""
    torch.manual_seed(0)
    logits = torch.randn(7, 11, dtype=torch.float64, requires_grad=True)  # a policy: one distribution a position
    reference = torch.randn(7, 11, dtype=torch.float64).log_softmax(-1)
    answer = torch.tensor([3, 1, 4, 1, 5, 9, 2])

    def log_probability(table: torch.Tensor) -> torch.Tensor:
        return table[torch.arange(7), answer].sum()[None]

    policy = logits.log_softmax(-1)
    sides = (log_probability(policy), log_probability(policy))
    loss = dpo_nll(*sides, log_probability(reference), log_probability(reference), torch.tensor([7]), 0.1, 1.0)
    (dpo,) = torch.autograd.grad(loss.dpo, logits, retain_graph=True)
    (nll,) = torch.autograd.grad(loss.nll, logits)
    assert torch.equal(dpo, torch.zeros_like(dpo))
    assert nll.abs().sum().item() > 0.1


def test_every_objective_that_a_study_can_name_has_its_loss() -> None:
    assert set(OBJECTIVES) == set(get_args(TrainingParams.model_fields["objective"].annotation))
    chosen, rejected, reference_chosen, reference_rejected, tokens = tensors(BATCH)
    sides = Sides(chosen, tokens, rejected, reference_chosen, reference_rejected)
    paper = OBJECTIVES["dpo_nll"].loss(sides, 0.1, 2.0)
    assert paper.total.item() == pytest.approx(expected_dpo(0.1) + 2.0 * expected_nll(), rel=1e-12)
    alone = OBJECTIVES["nll"].loss(Sides(chosen, tokens), 0.1, 2.0)
    assert alone.total.item() == alone.nll.item() == pytest.approx(expected_nll(), rel=1e-12)
    assert alone.dpo.item() == 0
