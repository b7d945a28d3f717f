"""The objective of the paper: DPO plus a length-normalised NLL term on the chosen side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Loss(NamedTuple):
    """Means over the batch: ``total = dpo + alpha * nll``."""

    total: Tensor
    dpo: Tensor
    nll: Tensor


def dpo_nll(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor,
    beta: float,
    alpha: float,
) -> Loss:
    """Mean over the batch of

    ``-log sigmoid(beta * [(log pi(y_w|x) - log pi_ref(y_w|x)) - (log pi(y_l|x) - log pi_ref(y_l|x))])
    - alpha * log pi(y_w|x) / |y_w|``

    with ``pi_ref = M_t`` (paper, Section 3). The NLL term is normalised per sequence, not per token of the batch.

    Parameters
    ----------
    chosen, rejected : Tensor, shape (batch,)
        Log-probability (nats) of each completion under the policy, summed over its tokens.
    reference_chosen, reference_rejected : Tensor, shape (batch,)
        The same under the frozen reference.
    chosen_tokens : Tensor, shape (batch,)
        Length of each chosen completion in tokens, its end-of-turn token included.
    beta : float
        Strength of the tie to the reference.
    alpha : float
        Weight of the NLL term.
    """
    from torch.nn.functional import logsigmoid

    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    dpo = -logsigmoid(beta * margin).mean()
    nll = chosen_nll(chosen, chosen_tokens)
    return Loss(dpo + alpha * nll, dpo, nll)


def chosen_nll(chosen: Tensor, chosen_tokens: Tensor) -> Tensor:
    """Mean over the batch of ``-log pi(y_w|x) / |y_w|``: the whole objective ``nll``."""
    return -(chosen / chosen_tokens).mean()
