"""TRL's DPO trainer with the paper's loss in place of TRL's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import DPOTrainer

from ldr_utils.method.loss import OBJECTIVES, Loss, Sides
from ldr_utils.study.errors import InputError
from ldr_utils.study.manifests import seal
from ldr_utils.study.progress import track


class PaperLossTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO with one of the objectives of ``loss.OBJECTIVES`` in place of TRL's loss.

    TRL's own ``sft`` term is a token mean over the micro-batch, which weighs long completions more than the paper's.

    Parameters
    ----------
    model : PeftModel
        The policy; its adapter ``default`` is trained, a frozen copy of it or the bare base model is the reference.
    alpha : float
        Weight of the NLL term.
    objective : str
        A key of ``loss.OBJECTIVES``.
    **kwargs
        For TRL's ``DPOTrainer``.
    """

    def __init__(self, model: Any, alpha: float, objective: str, **kwargs: Any) -> None:
        self.alpha, self.objective = alpha, OBJECTIVES[objective]
        self.mean_pairs: float | None = None  # pairs a forward pass in the current optimizer step
        trainable = [(parameter, parameter.data) for parameter in model.parameters() if parameter.requires_grad]
        super().__init__(model=model, **kwargs)
        # TRL rounds QLoRA adapters to bfloat16: the policy would leave its reference before the first step, and the
        # fp16 gradient scaler refuses bfloat16 altogether.
        for parameter, exact in trainable:
            parameter.data = exact.float()
        self.remove_callback(PrinterCallback)  # a line a step; the study has its own progress report
        self.add_callback(_Progress())
        self.add_callback(_Seal())
        self.add_callback(_FiniteGradients())

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # tokenised already, exactly as at inference (``training.tokenize_pairs``)

    def _send_telemetry(self) -> None:
        """Report nothing to anyone."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Restore the policy of a checkpoint and leave the reference, which is M_{t-1} since the trainer was built.

        transformers 5.19 finds both adapters in the checkpoint and restores the reference alone: the policy would
        silently start from M_{t-1} again, under the optimizer state of a later step.
        """
        self.model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The forward passes of one optimizer step; notes how many pairs they hold on average."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        self.mean_pairs = sum(len(batch["input_ids"]) // 2 for batch in batches) / len(batches)
        return batches, items

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """TRL's, at the end of which gradient checkpointing is switched on again.

        transformers 5.19 registers one more hook on the embeddings every time that it is, and takes none away.
        """
        if self.args.gradient_checkpointing:
            self.model.disable_input_require_grads()
        return super().compute_ref_log_probs(model, inputs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        if not self.objective.pairwise:  # the rejected half plays no part: do not pay for it
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
        if not self.objective.pairwise:
            loss = self.objective.loss(Sides(logps, tokens), self.beta, self.alpha)
            return self._logged(loss, torch.zeros_like(logps))
        chosen, rejected = logps.chunk(2)
        reference_chosen, reference_rejected = self.compute_ref_log_probs(model, inputs)
        sides = Sides(chosen, tokens.chunk(2)[0], rejected, reference_chosen, reference_rejected)
        margin = self.beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
        return self._logged(self.objective.loss(sides, self.beta, self.alpha), margin.detach())

    def _logged(self, loss: Loss, margin: torch.Tensor) -> torch.Tensor:
        """Note the step's metrics and return the loss, all weighted by the pairs of this forward pass.

        The trainer averages over the forward passes of an optimizer step; the last one of an epoch may hold fewer
        pairs, which would count for more than the others.
        """
        if not torch.isfinite(loss.total):
            raise not_finite("loss", self.state.global_step + 1)
        weight = len(margin) / self.mean_pairs if self.mean_pairs else 1.0
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["dpo"].append(weight * loss.dpo.item())
        metrics["nll"].append(weight * loss.nll.item())
        metrics["margin"].append(weight * margin.mean().item())
        metrics["accuracy"].append(weight * (margin > 0).float().mean().item())
        return weight * loss.total


def not_finite(what: str, step: int) -> InputError:
    """What to say when a training came off its rails."""
    remedy = "lower it, or set dtype to float32 (bfloat16 on a GPU that has it)"
    return InputError(f"learning_rate: the {what} of step {step} is not finite; {remedy}")


class _FiniteGradients(TrainerCallback):  # type: ignore[misc]
    """Stop before a gradient that is no number becomes weights; in float16 the scaler passes over single ones."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        gradients = [parameter.grad for parameter in kwargs["model"].parameters() if parameter.grad is not None]
        if not args.fp16 and not torch.stack([own.norm() for own in gradients]).isfinite().all():
            raise not_finite("gradient", state.global_step + 1)


class _Progress(TrainerCallback):  # type: ignore[misc]
    """Drive the study's own progress report, which knows notebooks from terminals."""

    def __init__(self) -> None:
        self.steps: Iterator[int] | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.steps is None:
            first = state.global_step - 1
            self.steps = iter(track(range(first, state.max_steps), "training", state.max_steps, first))
        next(self.steps, None)


class _Seal(TrainerCallback):  # type: ignore[misc]
    """Leave checksums in every checkpoint once it is complete."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
