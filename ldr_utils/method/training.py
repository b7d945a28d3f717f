"""From M_{t-1} to M_t: LoRA (or QLoRA) training on preference pairs, with TRL's trainer and the paper's loss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ldr_utils.policy.load import Policy, choose_dtype, load_policy
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import force, read_jsonl, write_jsonl, write_text
from ldr_utils.study.manifests import is_whole
from ldr_utils.study.params import TrainingParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.records import Pair, PairIds, Step

FAR_ABOVE = 1.5  # times its start: a loss that ends there is no success, whatever the noise of a batch


def tokenize_pairs(policy: Policy, pairs: Sequence[Pair], max_length: int) -> tuple[list[PairIds], list[Pair]]:
    """Token ids of every pair; a pair with a side over ``max_length`` tokens is set aside, not cut.

    Truncation would take the end-of-turn token off the chosen side and teach the policy not to stop.

    Returns
    -------
    fitting : list of PairIds
        ``prompt_ids``, ``chosen_ids``, ``rejected_ids``.
    too_long : list of Pair
        The pairs that were set aside, as they came.

    Raises
    ------
    InputError
        When no pair fits.
    """
    fitting: list[PairIds] = []
    too_long: list[Pair] = []
    for pair in pairs:
        prompt = policy.prompt_ids([{"role": "user", "content": pair["prompt"]}])
        chosen, rejected = policy.completion_ids(pair["chosen"]), policy.completion_ids(pair["rejected"])
        if len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long.append(pair)
        else:
            fitting.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    if not fitting:
        raise InputError(f"max_length: all {len(pairs)} pairs are over {max_length} tokens; raise max_length")
    return fitting, too_long


def start_policy(params: TrainingParams) -> Policy:
    """M_{t-1}, ready to be trained into M_t.

    The first iteration puts a fresh adapter on the base model (an untrained adapter changes nothing, so the reference
    is the base model). Later ones continue M_{t-1}'s adapter; TRL then freezes a copy of it as the reference.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(params.seed * 1000 + params.t)
    policy = load_policy(params, params.t - 1, trainable=True)
    if params.t == 1:
        config = LoraConfig(
            r=params.lora_r, lora_alpha=params.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        policy.model = get_peft_model(policy.model, config)
    return policy


def build_trainer(policy: Policy, rows: list[PairIds], params: TrainingParams, workdir: Path) -> Any:
    """A TRL ``DPOTrainer`` with the loss of the study's ``objective`` (``method.loss``)."""
    import torch
    from datasets import Dataset
    from trl import DPOConfig

    from ldr_utils.method.trainer import PaperLossTrainer

    dtype = choose_dtype(params.dtype)
    on_gpu = torch.cuda.is_available()
    config = DPOConfig(
        output_dir=str(workdir),
        per_device_train_batch_size=params.train_batch_size,
        gradient_accumulation_steps=params.gradient_accumulation,
        gradient_checkpointing=params.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        learning_rate=params.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup_steps,
        num_train_epochs=params.epochs,
        beta=params.beta,
        max_length=None,
        bf16=on_gpu and dtype == torch.bfloat16,
        fp16=on_gpu and dtype == torch.float16,
        use_cpu=not on_gpu,
        logging_steps=1,
        save_strategy="steps",
        save_steps=params.save_steps,
        save_total_limit=2,  # with one, the old checkpoint would go before the new one has its checksums
        report_to=[],
        disable_tqdm=True,
        seed=params.seed * 1000 + params.t,
        dataloader_pin_memory=on_gpu,
    )
    config._n_gpu = int(on_gpu)  # a second visible GPU would silently double the batch
    return PaperLossTrainer(
        policy.model,
        params.alpha,
        params.objective,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )


def train(trainer: Any, checkpoints: Path) -> list[Step]:
    """Run the training, from its last complete checkpoint when there is one, and return the logged steps.

    The trainer was built on M_{t-1}'s adapter, so the reference stays M_{t-1} when the policy is restored from a
    checkpoint.

    Returns
    -------
    list of Step
        ``step``, ``loss``, ``dpo``, ``nll``, ``margin``, ``accuracy``, ``learning_rate``; one a step.
    """
    last = last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    names = ("loss", "dpo", "nll", "margin", "accuracy", "learning_rate")
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    steps = [{"step": entry["step"], **{name: entry[name] for name in names if name in entry}} for entry in logged]
    return cast(list[Step], steps)


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint, or None; one that is half-written or was changed since is named and removed.

    The trainer keeps the checkpoint before the newest, which has its checksums last of all.
    """
    for folder in sorted(checkpoints.glob("checkpoint-*"), key=lambda f: int(f.name.split("-")[1]), reverse=True):
        if is_whole(folder):
            return folder
        print(f"{folder.name}: half-written or changed since it was written; removed")
        shutil.rmtree(folder)
    return None


def train_once(trainer: Any, folder: Path) -> list[Step]:
    """Train into ``folder``, or return the steps of the finished training that lies there.

    The steps go to ``training.jsonl`` beside the folder; the weights appear in it last and in one step.

    Raises
    ------
    InputError
        When loss, gradient or weights are no numbers any more: nothing of such a training is kept.
    """
    history, saving, checkpoints = folder.parent / "training.jsonl", folder / "saving", folder / "checkpoints"
    adapter = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    if not all(path.exists() for path in (history, *adapter)):
        try:
            steps = train(trainer, checkpoints)
            check_weights(trainer.model, len(steps))
        except InputError:
            shutil.rmtree(checkpoints, ignore_errors=True)
            raise
        write_jsonl(history, steps)
        trainer.model.save_pretrained(saving, selected_adapters=["default"])
        _make_portable(saving / adapter[0].name)
        for path in adapter:
            force(saving / path.name)
            (saving / path.name).replace(path)
    for leftover in (saving, checkpoints):
        shutil.rmtree(leftover, ignore_errors=True)
    return read_jsonl(history, Step)


def check_weights(model: Any, steps: int) -> None:
    """See to it that the last step, after which no loss is taken, left numbers behind."""
    from ldr_utils.method.trainer import not_finite

    if not all(parameter.isfinite().all() for parameter in model.parameters() if parameter.requires_grad):
        raise not_finite("adapter", steps)


def rise(steps: Sequence[Step]) -> str:
    """What to say where a training's loss ends far above where it began; nothing otherwise."""
    tenth = max(1, len(steps) // 10)
    first, last = (sum(step["loss"] for step in part) / tenth for part in (steps[:tenth], steps[-tenth:]))
    if last <= FAR_ABOVE * first:
        return ""
    return f"the loss rose from {first:.2f} to {last:.2f}: this model learned nothing; lower learning_rate"


def _make_portable(config: Path) -> None:
    """PEFT writes where the base model lies here, and layer names in the order of a set, another one every time."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = values["base_model_name_or_path"].removeprefix(f"{ROOT}/")
    values["target_modules"].sort()
    write_text(config, json.dumps(values, indent=2, sort_keys=True) + "\n")
