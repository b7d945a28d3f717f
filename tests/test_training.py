"""The trainer optimises the paper's objective, from the right start, against the right reference."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ldr_utils.method.loss import dpo_nll
from ldr_utils.method.training import (
    build_trainer,
    last_checkpoint,
    rise,
    start_policy,
    tokenize_pairs,
    train,
    train_once,
)
from ldr_utils.policy.load import load_policy
from ldr_utils.policy.transformers import complete
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.manifests import seal
from ldr_utils.study.params import DecodingParams, TrainingParams

PAIRS: list[Any] = [
    {"prompt": "Ordena: 3, 1.", "chosen": "Los números son: 1, 3.", "rejected": "3, 1."},
    {"prompt": "Ordena: 9, 4.", "chosen": "4, 9.", "rejected": "Los números de menor a mayor son: 9, 4."},
    {"prompt": "Who has more?", "chosen": "Anna has more.", "rejected": "Anna has more."},
    {"prompt": "Wer hat mehr?", "chosen": "Emma hat die meisten Bücher.", "rejected": "Emma has the most books."},
]


def params(tmp_path: Path, **changes: Any) -> TrainingParams:
    values: dict[str, Any] = {"run_dir": str(tmp_path), "train_batch_size": 4, "warmup_steps": 0, "threads": 1}
    return TrainingParams(**(values | changes))


def numbered(count: int) -> list[Any]:
    """Pairs that all differ."""
    return [
        {**PAIRS[k % 4], "prompt": f"{k} {PAIRS[k % 4]['prompt']}", "chosen": f"{k} {PAIRS[k % 4]['chosen']}"}
        for k in range(count)
    ]


def trainer_for(tmp_path: Path, pairs: list[Any] = PAIRS, **changes: Any) -> Any:
    own = params(tmp_path, **changes)
    policy = start_policy(own)
    rows, _ = tokenize_pairs(policy, pairs, own.max_length)
    return build_trainer(policy, rows, own, tmp_path / "checkpoints")


def weights(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if f".{adapter}." in n}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


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
    trainer = trainer_for(tmp_path, arm="sft", objective="nll")
    rows = [trainer.train_dataset[i] for i in range(len(PAIRS))]
    expected = -sum(log_probability(trainer.model, r, "chosen").item() / len(r["chosen_ids"]) for r in rows) / len(rows)
    assert trainer.compute_loss(trainer.model, batch_of(trainer)).item() == pytest.approx(expected, rel=1e-4)


def test_accumulation_gives_the_gradients_of_one_batch_also_where_the_last_one_is_short(tmp_path: Path) -> None:
    """Eleven pairs by eight: one full step and one of three, which comes in passes of 3, of 2 and 1, or of 1."""
    from transformers import TrainerCallback

    class Gradients(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
            seen.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    runs, logs = [], []
    for size, accumulation in ((8, 1), (2, 4), (1, 8)):
        seen: list[dict[str, torch.Tensor]] = []
        folder = tmp_path / str(size)
        trainer = trainer_for(folder, numbered(11), train_batch_size=size, gradient_accumulation=accumulation)
        trainer.add_callback(Gradients())
        logs.append(train(trainer, folder / "checkpoints"))
        runs.append(seen)
    whole, *parts = runs
    assert len(whole) == 2
    assert all(gradients.keys() == whole[0].keys() for run in runs for gradients in run)
    for run in parts:
        for one, other in zip(whole, run, strict=True):
            assert all(torch.allclose(one[name], other[name], rtol=1e-3, atol=2e-5) for name in one)
    for steps in logs[1:]:
        for step, again in zip(logs[0], steps, strict=True):
            assert step == pytest.approx(again, rel=1e-4, abs=1e-5)


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
    long: Any = {"prompt": "x", "chosen": "word " * 400, "rejected": "short"}
    fitting, too_long = tokenize_pairs(policy, [*PAIRS, long], 320)
    assert too_long == [long]
    assert all(row["chosen_ids"][-1] == policy.tokenizer.eos_token_id for row in fitting)


def test_no_fitting_pair_is_an_input_error(tmp_path: Path) -> None:
    policy = start_policy(params(tmp_path))
    with pytest.raises(InputError, match="all 4 pairs are over 3 tokens; raise max_length"):
        tokenize_pairs(policy, PAIRS, 3)


RESUMED = {"train_batch_size": 2, "epochs": 2, "save_steps": 4}  # 12 pairs: six steps an epoch, checkpoints at 4, 8, 12
CHILD = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_training import numbered, train, trainer_for
from transformers import TrainerCallback

class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 11:
            os.kill(os.getpid(), signal.SIGKILL)

def kill_while_saving(folder, save=None):
    os.kill(os.getpid(), signal.SIGKILL) if folder.endswith("checkpoint-8") else save(folder)

folder, where, changes = Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
trainer = trainer_for(folder, numbered(12), **changes)
if where == "between":
    trainer.add_callback(Kill())
else:  # the adapter and the optimizer are on disk, the state is not
    save = trainer._save_rng_state
    trainer._save_rng_state = lambda folder: kill_while_saving(folder, save)
train(trainer, folder / "checkpoints")
"""


@pytest.mark.parametrize(
    ("t", "quantization", "where", "resumes_at"),
    [(1, "none", "saving", 4), (2, "none", "between", 8), (2, "none", "saving", 4), (2, "nf4", "between", 8)],
)
def test_a_killed_training_ends_with_the_same_adapter_and_the_same_reference(
    tmp_path: Path, t: int, quantization: str, where: str, resumes_at: int
) -> None:
    changes = {**RESUMED, "t": t, "run_dir": str(tmp_path), "quantization": quantization}
    if t == 2:
        first = trainer_for(tmp_path / "first", quantization=quantization)
        train_once(first, tmp_path / "M1" / "adapter")
    whole = trainer_for(tmp_path / "whole", numbered(12), **changes)
    whole_steps = train(whole, tmp_path / "whole" / "checkpoints")

    folder = tmp_path / "killed"
    words = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder), where, json.dumps(changes)]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGKILL
    left = sorted(path.name for path in (folder / "checkpoints").glob("checkpoint-*"))
    assert left == ["checkpoint-4", "checkpoint-8"]
    assert last_checkpoint(folder / "checkpoints") == folder / "checkpoints" / f"checkpoint-{resumes_at}"

    resumed = trainer_for(folder, numbered(12), **changes)
    steps = train(resumed, folder / "checkpoints")
    assert equal(weights(resumed.model), weights(whole.model))
    assert steps == whole_steps

    # M_{t-1}, loaded afresh; as for training, because on some CPUs bitsandbytes infers with another kernel, in bfloat16
    before = load_policy(params(tmp_path, **changes), t - 1, trainable=True).model
    rows = [resumed.train_dataset[i] for i in range(4)]
    chosen, rejected = resumed.compute_ref_log_probs(resumed.model, resumed.data_collator(rows))
    for side, reference in (("chosen", chosen), ("rejected", rejected)):
        expected = [log_probability(before, row, side).item() for row in rows]
        trained = [log_probability(resumed.model, row, side).item() for row in rows]
        assert reference.tolist() == pytest.approx(expected, abs=1e-3)
        assert max(abs(a - b) for a, b in zip(trained, expected, strict=True)) > 0.1


@pytest.mark.parametrize("text", ['{"global_st', '{"global_step": 9}', None])
def test_a_damaged_checkpoint_is_named_and_removed(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (2, 10):
        state = tmp_path / f"checkpoint-{step}" / "trainer_state.json"
        state.parent.mkdir()
        state.write_text(f'{{"global_step": {step}}}')
        seal(state.parent)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    state.write_text(text) if text else state.unlink()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert "checkpoint-10" in capsys.readouterr().out
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_checkpoint_without_checksums_is_half_written(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "missing") is None


def test_nf4_from_training_to_generation_and_on_to_the_second_iteration(tmp_path: Path) -> None:
    import bitsandbytes

    nf4: dict[str, Any] = {"quantization": "nf4", "gradient_checkpointing": True, "run_dir": str(tmp_path)}
    first = trainer_for(tmp_path / "first", **nf4)
    base = [module for module in first.model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(base) == 7 * first.model.config.num_hidden_layers
    assert all(layer.weight.quant_type == "nf4" and layer.weight.quant_state.nested for layer in base)
    steps = train_once(first, tmp_path / "M1" / "adapter")
    assert read_jsonl(tmp_path / "M1" / "training.jsonl") == steps
    config = json.loads((tmp_path / "M1" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "models/micro"
    assert config["target_modules"] == sorted(config["target_modules"])

    m0, m1 = (load_policy(params(tmp_path, quantization="nf4"), t, trainable=True).model for t in (0, 1))
    before, after = (log_probability(model, first.train_dataset[0], "chosen").item() for model in (m0, m1))
    assert after == pytest.approx(log_probability(first.model, first.train_dataset[0], "chosen").item(), abs=1e-3)
    assert abs(after - before) > 0.01
    decoding = DecodingParams(run_dir=str(tmp_path), t=1, quantization="nf4", max_new_tokens=8, threads=1)
    policy = load_policy(decoding, 1)
    prompt = policy.prompt_ids([{"role": "user", "content": PAIRS[0]["prompt"]}])
    assert complete(policy, [prompt], decoding)[0].tokens > 0

    second = trainer_for(tmp_path / "second", t=2, **nf4)
    start = weights(second.model)
    assert len(start) == 2 * len(base)
    assert equal(start, weights(first.model))
    assert {parameter.dtype for parameter in second.model.parameters() if parameter.requires_grad} == {torch.float32}
    steps = train(second, tmp_path / "second" / "checkpoints")
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert not equal(weights(second.model), start)
    reference = {name.replace(".ref.", ".default."): value for name, value in weights(second.model, "ref").items()}
    assert equal(reference, start)


@pytest.mark.parametrize("rate", [1e38, 1e30])
def test_a_training_off_its_rails_keeps_nothing(tmp_path: Path, rate: float) -> None:
    folder = tmp_path / "M1" / "adapter"
    trainer = trainer_for(tmp_path, numbered(12), learning_rate=rate, save_steps=1, epochs=2)
    trainer.args.output_dir = str(folder / "checkpoints")
    with pytest.raises(InputError, match=r"^learning_rate: the (loss|gradient|adapter) of step \d is not finite"):
        train_once(trainer, folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".bin"] == []


def test_the_last_step_is_looked_at_too(tmp_path: Path) -> None:
    """No loss is taken after it."""
    folder = tmp_path / "M1" / "adapter"
    trainer = trainer_for(tmp_path, learning_rate=1e38)
    with pytest.raises(InputError, match="the adapter of step 1 is not finite"):
        train_once(trainer, folder)
    assert not (tmp_path / "M1" / "training.jsonl").exists()


def test_a_loss_that_ends_far_above_its_start_is_told() -> None:
    def steps(losses: list[float]) -> list[Any]:
        return [{"step": k, "loss": loss} for k, loss in enumerate(losses)]

    assert rise(steps([4.0] * 10 + [9.0] * 10)) == (
        "the loss rose from 4.00 to 9.00: this model learned nothing; lower learning_rate"
    )
    assert rise(steps([4.0] * 10 + [5.0] * 10)) == rise(steps([4.0, 2.0])) == rise(steps([4.0])) == ""


def test_gradient_checkpointing_leaves_no_hooks_behind(tmp_path: Path) -> None:
    trainer = trainer_for(tmp_path, numbered(24), gradient_checkpointing=True)
    hooks = trainer.model.get_input_embeddings()._forward_hooks
    train(trainer, tmp_path / "checkpoints")
    assert trainer.state.global_step == 6
    assert len(hooks) <= 2


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_gradient_checkpointing_changes_memory_only(tmp_path: Path, quantization: str) -> None:
    adapters, layers = [], []
    for on in (False, True):
        folder = tmp_path / str(on)
        trainer = trainer_for(folder, gradient_checkpointing=on, quantization=quantization, epochs=2)
        train(trainer, folder / "checkpoints")
        adapters.append(weights(trainer.model))
        layers.append(trainer.model.is_gradient_checkpointing)
    assert layers == [False, True]
    assert all(torch.allclose(adapters[0][name], adapters[1][name], atol=1e-6) for name in adapters[0])
