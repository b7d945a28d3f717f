"""lm-evaluation-harness on M_t: a task of our own over a tiny file, offline, with and without an adapter."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest

from ldr_utils.micro import tax
from ldr_utils.policy.load import Policy, base_source, load_policy
from ldr_utils.scores import benchmarks
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import BenchmarksParams, TaxParams, validate
from ldr_utils.study.paths import Run

needs_harness = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed (extra tax)")
TASK = """\
task: tiny_es
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_target: label
doc_to_choice: choices
target_delimiter: "\\n"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A harness task: which of two answers is the right one to a micro-world question."""
    folder = tmp_path_factory.mktemp("tasks")
    problems = tax.held_out(TaxParams(tax_problems=8))
    lines = []
    for k, task in enumerate(problems):
        choices = [task.answer["es"], problems[k - 2].answer["es"]]
        lines.append({"prompt": task.prompt["es"], "choices": choices[:: 1 if k % 2 else -1], "label": int(not k % 2)})
    file = folder / "tiny.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "tiny_es.yaml").write_text(TASK.format(file=file), encoding="utf-8")
    return folder


def add_adapter(params: BenchmarksParams) -> Path:
    """M1: a LoRA adapter that changes what the micro model says."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(load_policy(params, 0).model, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data *= 30
    folder = Run.at(params.run_dir).stage(1, "adapter", params.arm)
    model.save_pretrained(str(folder))
    return folder


def study(folder: Path) -> BenchmarksParams:
    return BenchmarksParams(run_dir=str(folder), languages=["en", "es"], unseen=[], threads=1, batch_size=4)


@needs_harness
def test_the_real_harness_with_and_without_an_adapter(tasks: Path, tmp_path: Path) -> None:
    """The model as we load it scores as the harness's own loader with peft=ADAPTER does."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    params, manager = study(tmp_path), TaskManager(include_path=str(tasks))
    adapter = add_adapter(params)
    scores = []
    for t, peft in ((0, None), (1, str(adapter))):
        own = params.model_copy(update={"t": t})
        found = benchmarks.run_benchmarks(load_policy(own, t), ["tiny_es"], 4, manager, tmp_path / f"M{t}")
        (row,) = benchmarks.benchmark_rows(found, own)
        assert (row["task"], row["metric"], row["lang"], row["n"]) == ("tax", "tiny_es.acc", "es", 8)
        assert row["low"] <= row["value"] <= row["high"]
        theirs = HFLM(pretrained=base_source(own.base_model), peft=peft, device="cpu", dtype="float32", batch_size=4)
        expected = simple_evaluate(theirs, tasks=["tiny_es"], task_manager=manager, bootstrap_iters=0)
        assert row["value"] == expected["results"]["tiny_es"]["acc,none"]
        scores.append(row["value"])
    assert scores[0] > scores[1]  # such an adapter spoils the model


@needs_harness
def test_a_finished_benchmark_is_read_not_run(tmp_path: Path) -> None:
    nothing = cast(Policy, None)  # whatever asks it a question would break
    kept = {"results": {"tiny_es": {"alias": "tiny_es", "acc,none": 0.5, "acc_stderr,none": 0.1}}}
    (tmp_path / "tiny_es.json").write_text(json.dumps(kept | {"n-samples": {"tiny_es": {"effective": 8}}}))
    found = benchmarks.run_benchmarks(nothing, ["tiny_es"], 4, None, tmp_path)
    (row,) = benchmarks.benchmark_rows(found, study(tmp_path))
    assert (row["value"], row["n"]) == (0.5, 8)
    assert (row["low"], row["high"]) == pytest.approx((0.304, 0.696), abs=1e-5)


@needs_harness
def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(InputError, match=r"^benchmarks: mmlu_xx not known to lm-evaluation-harness; "):
        benchmarks.open_tasks(["hellaswag", "mmlu_xx"])


@needs_harness
def test_the_names_in_the_params_files_exist() -> None:
    import re

    from ldr_utils.study.paths import ROOT

    text = (ROOT / "params" / "llama3-8b.yaml").read_text(encoding="utf-8")
    names = re.findall(r"\b(?:m_mmlu|hellaswag|arc|truthfulqa)_\w+", text)
    assert len(names) == 20
    benchmarks.open_tasks(names)


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_the_extra_is_named_where_it_is_missing() -> None:
    with pytest.raises(InputError, match=r"^benchmarks: lm-evaluation-harness is not installed; install the extra tax"):
        benchmarks.open_tasks(["hellaswag"])


@pytest.mark.parametrize("name", ["../task.yaml", "/etc/task", "", "a b"])
def test_a_path_is_no_benchmark(name: str) -> None:
    with pytest.raises(InputError, match=r"^p.yaml: benchmarks\.0: "):
        validate(BenchmarksParams, {"benchmarks": [name]}, "p.yaml")


@pytest.mark.parametrize(
    ("task", "lang"), [("m_mmlu_es", "es"), ("truthfulqa_de_mc1", "de"), ("hellaswag", "en"), ("arc_challenge", "en")]
)
def test_language_of_a_task(task: str, lang: str) -> None:
    assert benchmarks.language_of(task) == lang


def test_filters_and_missing_errors_keep_apart() -> None:
    metrics = {"alias": "x", "em,strict": 0.2, "em_stderr,strict": "N/A", "em,none": 0.4, "em_stderr,none": 0.1}
    found = {"x": {"results": {"x_fr": metrics}, "n-samples": {"x_fr": {"effective": 5}}}}
    rows = benchmarks.benchmark_rows(found, BenchmarksParams(t=2))
    assert [(row["metric"], row["model"], row["value"]) for row in rows] == [
        ("x_fr.em.strict", "M2", 0.2),
        ("x_fr.em", "M2", 0.4),
    ]
    assert rows[0]["low"] != rows[0]["low"]  # no standard error, no bounds
    assert rows[1]["low"] == pytest.approx(0.204, abs=1e-5)
