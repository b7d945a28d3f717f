"""The objective of the paper, DPO plus a length-normalised NLL term on the chosen side, and the others of the arms."""

from __future__ import annotations

from collections.abc import Callable
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


class Sides(NamedTuple):
    """What an objective is given of a batch, each of shape (batch,); the names are those of `dpo_nll`.

    An objective that looks at the chosen side alone is given no more of it.
    """

    chosen: Tensor
    chosen_tokens: Tensor
    rejected: Tensor | None = None
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None


class Objective(NamedTuple):
    """A value of the parameter ``objective``.

    Attributes
    ----------
    loss : function of Sides, beta and alpha
        Its value on a batch.
    pairwise : bool
        Whether the rejected side and the reference play a part; they are not computed otherwise.
    """

    loss: Callable[[Sides, float, float], Loss]
    pairwise: bool


def pairwise(sides: Sides) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Chosen, rejected, and both under the reference: what `dpo_nll` calls them."""
    assert sides.rejected is not None
    assert sides.reference_chosen is not None
    assert sides.reference_rejected is not None
    return sides.chosen, sides.rejected, sides.reference_chosen, sides.reference_rejected


def _dpo_nll(sides: Sides, beta: float, alpha: float) -> Loss:
    return dpo_nll(*pairwise(sides), sides.chosen_tokens, beta, alpha)


def _nll(sides: Sides, beta: float, alpha: float) -> Loss:
    nll = chosen_nll(sides.chosen, sides.chosen_tokens)
    return Loss(nll, nll.new_zeros(()), nll)


OBJECTIVES = {
    "dpo_nll": Objective(_dpo_nll, pairwise=True),  # the paper's
    "nll": Objective(_nll, pairwise=False),  # its NLL term alone, unweighted: SFT on the chosen side
}
