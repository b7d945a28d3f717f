"""What is done to the scores of every next token: looked at, and penalised for what stands there already."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LogitsProcessor, RepetitionPenaltyLogitsProcessor

from ldr_utils.policy.load import not_finite


class Finite(LogitsProcessor):  # type: ignore[misc]
    """Stops where a model's logits are no numbers: the likeliest of them would be the first token, again and again."""

    def __init__(self, where: str, dtype: torch.dtype) -> None:
        self.where, self.dtype = where, dtype

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not bool((scores < torch.inf).all()):  # a token that a model rules out may be at minus infinity
            raise not_finite(self.where, str(self.dtype))
        return scores


class PenaltyOfText(RepetitionPenaltyLogitsProcessor):  # type: ignore[misc]
    """The repetition penalty on what stands in a prompt and its answer: padding does not count.

    Where a model pads with its end of turn, an answer would otherwise depend on how long its neighbours' prompts are.
    """

    def __init__(self, penalty: float, attention_mask: torch.Tensor) -> None:
        super().__init__(penalty)
        self.padding = attention_mask == 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> Any:
        width = self.padding.shape[1]
        last = input_ids[:, width - 1 : width]  # of the prompt: padding is on the left
        prompt = torch.where(self.padding, last, input_ids[:, :width])
        return super().__call__(torch.cat([prompt, input_ids[:, width:]], dim=1), scores)
