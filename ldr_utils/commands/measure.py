"""How fast a study's model writes and learns on this machine: a short run at full size, from which its hours follow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldr_utils.commands.hours import ANSWER_TOKENS, TRAINING_FLOPS, Speed
from ldr_utils.commands.shapes import Shape, parameter_count
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import GenerationParams, StudyParams, TrainingParams
from ldr_utils.study.records import Pair
from ldr_utils.study.stages import place, values

WRITTEN = 64  # tokens an answer
PROMPTS = 256  # at once, where the backend takes so many: vLLM is fast with many only
STEPS = 3  # of the optimizer; the first, which builds kernels, does not count


@dataclass(frozen=True)
class Measured:
    """Tokens of answers a second: written, and trained on."""

    written: float
    trained: float

    def speed(self, shape: Shape) -> Speed:
        """As `hours.hours_by_stage` takes it."""
        size = parameter_count(shape)
        return Speed(self.written * size, self.written * size, self.trained * TRAINING_FLOPS * size)

    def __str__(self) -> str:
        return f"{self.written:,.0f} tokens/s written, {self.trained:,.0f} trained on"


def measure(study: StudyParams, prompts: Sequence[str], folder: Path) -> Measured:
    """Answer ``prompts`` with M0 and train it for some steps, with the study's own settings.

    Parameters
    ----------
    study : StudyParams
        The study.
    prompts : sequence of str
        User turns; repeated as often as needed.
    folder : Path
        Where training may write.

    Raises
    ------
    InputError
        When the model cannot be loaded, or does not fit the device.
    """
    import torch

    try:
        return Measured(_writing(study, prompts, folder), _training(study, prompts, folder))
    except torch.OutOfMemoryError:
        raise InputError("base_model: does not fit the device's memory; see memory in ldr doctor") from None


def _writing(study: StudyParams, prompts: Sequence[str], folder: Path) -> float:
    """Tokens a second of one batch, once the engine is warm."""
    from ldr_utils.policy.backends import open_generator

    params = GenerationParams(
        **values(study, place("generation")) | {"run_dir": str(folder), "max_new_tokens": WRITTEN}
    )
    with open_generator(params, 0) as generator:
        ids = [generator.prompt_ids([{"role": "user", "content": text}]) for text in prompts]
        batch = [ids[k % len(ids)] for k in range(min(generator.batch_size, PROMPTS))]
        generator.complete(batch[:1])
        started = time.monotonic()
        done = generator.complete(batch)
        return sum(max(1, one.tokens) for one in done) / (time.monotonic() - started)


def _training(study: StudyParams, prompts: Sequence[str], folder: Path) -> float:
    """Tokens of both sides a second, over the steps after the first."""
    from transformers import TrainerCallback

    from ldr_utils.method.training import build_trainer, start_policy, tokenize_pairs

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ends.append(time.monotonic())

    ends: list[float] = []
    params = TrainingParams(**values(study, place("training", 1)) | {"run_dir": str(folder), "save_steps": 10**6})
    policy = start_policy(params)
    length = min(ANSWER_TOKENS, params.max_length // 2)
    words = policy.tokenizer.decode((policy.chat.completion_ids(" ".join(prompts))[:-1] * length)[:length])
    step = params.train_batch_size * params.gradient_accumulation
    pairs = [_pair(k, prompts[k % len(prompts)], words) for k in range(step * STEPS)]
    rows, _ = tokenize_pairs(policy, pairs, params.max_length)
    trainer = build_trainer(policy, rows, params, folder / "measured")
    trainer.add_callback(Clock())
    trainer.train()
    timed = rows[step:]
    sides = 2 if params.objective != "nll" else 1
    return sum(len(row["chosen_ids"]) for row in timed) * sides / (ends[-1] - ends[0])


def _pair(number: int, prompt: str, words: str) -> Pair:
    return Pair(id=str(number), lang="en", via="en", prompt=prompt, chosen=words, rejected=f"{words} {number}")
