"""TRL's DPO trainer with the paper's loss in place of TRL's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import DPOTrainer

from ldr_utils.loss import Loss, chosen_nll, dpo_nll
from ldr_utils.progress import track


class PaperLossTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO + per-sequence NLL (arm ``lidr``), or the NLL of the chosen side alone (arm ``sft``).

    TRL's own ``sft`` term is a token mean over the micro-batch, which weighs long completions more than the paper's.
    """

    alpha: float
    arm: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)  # a line a step; the study has its own progress report
        self.add_callback(_Progress())

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # tokenised already, exactly as at inference (``training.tokenize_pairs``)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        if self.arm == "sft":  # the rejected half plays no part: do not pay for it
            half = inputs["input_ids"].shape[0] // 2
            inputs = {name: tensor[:half] for name, tensor in inputs.items()}
        completion = inputs["completion_mask"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(completion == 0, -100),
            use_cache=False,
            fused_lm_head=True,
        )
        logps = outputs.log_probs.sum(dim=1)
        tokens = completion[:, 1:].sum(dim=1)
        if self.arm == "sft":
            nll = chosen_nll(logps, tokens)
            return self._logged(Loss(nll, torch.zeros_like(nll), nll), torch.zeros_like(logps))
        chosen, rejected = logps.chunk(2)
        reference_chosen, reference_rejected = self.compute_ref_log_probs(model, inputs)
        loss = dpo_nll(
            chosen, rejected, reference_chosen, reference_rejected, tokens.chunk(2)[0], self.beta, self.alpha
        )
        margin = self.beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
        return self._logged(loss, margin.detach())

    def _logged(self, loss: Loss, margin: torch.Tensor) -> torch.Tensor:
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["dpo"].append(loss.dpo.item())
        metrics["nll"].append(loss.nll.item())
        metrics["margin"].append(margin.mean().item())
        metrics["accuracy"].append((margin > 0).float().mean().item())
        return loss.total


class _Progress(TrainerCallback):  # type: ignore[misc]
    """Drive the study's own progress report, which knows notebooks from terminals."""

    def __init__(self) -> None:
        self.steps: Iterator[int] | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.steps is None:
            first = state.global_step - 1
            self.steps = iter(track(range(first, state.max_steps), "training", state.max_steps, first))
        next(self.steps, None)
