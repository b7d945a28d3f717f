"""From M_{t-1} to M_t: LoRA (or QLoRA) training on preference pairs, with TRL's trainer and the paper's loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ldr_utils.models import Policy, choose_dtype, load_policy
from ldr_utils.params import TrainingParams
from ldr_utils.records import Record, read_jsonl, write_jsonl


def tokenize_pairs(policy: Policy, pairs: list[Record], max_length: int) -> tuple[list[Record], list[Record]]:
    """Token ids of every pair; a pair with a side over ``max_length`` tokens is set aside, not cut.

    Truncation would take the end-of-turn token off the chosen side and teach the policy not to stop.

    Returns
    -------
    fitting : list of Record
        ``prompt_ids``, ``chosen_ids``, ``rejected_ids``.
    too_long : list of Record
        The pairs that were set aside, as they came.
    """
    fitting: list[Record] = []
    too_long: list[Record] = []
    for pair in pairs:
        prompt = policy.prompt_ids([{"role": "user", "content": pair["prompt"]}])
        chosen, rejected = policy.completion_ids(pair["chosen"]), policy.completion_ids(pair["rejected"])
        if len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long.append(pair)
        else:
            fitting.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return fitting, too_long


def start_policy(params: TrainingParams) -> Policy:
    """M_{t-1}, ready to be trained into M_t.

    The first iteration puts a fresh adapter on the base model (an untrained adapter changes nothing, so the reference
    is the base model). Later ones continue M_{t-1}'s adapter; TRL then freezes a copy of it as the reference.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import set_seed

    set_seed(params.seed * 1000 + params.t)
    policy = load_policy(params, params.t - 1, trainable=True)
    if params.quantization == "nf4":
        policy.model = prepare_model_for_kbit_training(
            policy.model, use_gradient_checkpointing=params.gradient_checkpointing
        )
    if params.t == 1:
        config = LoraConfig(
            r=params.lora_r, lora_alpha=params.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        policy.model = get_peft_model(policy.model, config)
    return policy


def build_trainer(policy: Policy, rows: list[Record], params: TrainingParams, workdir: Path) -> Any:
    """A TRL ``DPOTrainer`` with the paper's loss (``ldr_utils.loss``), or its NLL term alone for the arm ``sft``."""
    import torch
    from datasets import Dataset
    from trl import DPOConfig

    from ldr_utils.trainer import PaperLossTrainer

    dtype = choose_dtype(params.dtype)
    on_gpu = torch.cuda.is_available()
    config = DPOConfig(
        output_dir=str(workdir),
        per_device_train_batch_size=params.train_batch_size,
        gradient_accumulation_steps=params.gradient_accumulation,
        gradient_checkpointing=params.gradient_checkpointing,
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
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        seed=params.seed * 1000 + params.t,
        dataloader_pin_memory=on_gpu,
    )
    trainer = PaperLossTrainer(
        model=policy.model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )
    trainer.alpha, trainer.arm = params.alpha, params.arm
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:  # TRL casts QLoRA adapters to bfloat16, which the fp16 gradient scaler rejects
            parameter.data = parameter.data.float()
    return trainer


def train(trainer: Any, checkpoints: Path) -> list[Record]:
    """Run the training, from its last checkpoint when there is one, and return the logged steps.

    The trainer was built on M_{t-1}'s adapter, so the reference stays M_{t-1} when the policy is restored from a
    checkpoint.

    Returns
    -------
    list of Record
        ``step``, ``loss``, ``dpo``, ``nll``, ``margin``, ``accuracy``, ``learning_rate``; one a step.
    """
    from transformers.trainer_utils import get_last_checkpoint

    last = get_last_checkpoint(str(checkpoints)) if checkpoints.exists() else None
    trainer.train(resume_from_checkpoint=last)
    names = ("loss", "dpo", "nll", "margin", "accuracy", "learning_rate")
    return [
        {"step": entry["step"], **{name: entry[name] for name in names if name in entry}}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


def train_once(trainer: Any, folder: Path) -> list[Record]:
    """Train into ``folder``, or return the steps of the finished training that lies there.

    The steps go to ``training.jsonl`` beside the folder; the weights appear in it last and in one step.
    """
    history, weights = folder.parent / "training.jsonl", folder / "adapter_model.safetensors"
    if weights.exists():
        return read_jsonl(history)
    steps = train(trainer, folder / "checkpoints")
    write_jsonl(history, steps)
    saving = folder / "saving"
    trainer.model.save_pretrained(saving, selected_adapters=["default"])
    for name in ("adapter_config.json", weights.name):
        (saving / name).replace(folder / name)
    for leftover in (saving, folder / "checkpoints"):
        shutil.rmtree(leftover, ignore_errors=True)
    return steps
