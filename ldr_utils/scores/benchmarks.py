"""Public benchmarks on M_t through EleutherAI's lm-evaluation-harness (extra ``tax``)."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.policy.load import Policy
from ldr_utils.scores.rows import Rows
from ldr_utils.scores.stats import NORMAL, Interval
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import BenchmarksParams

Results = dict[str, Any]


def open_tasks(names: list[str]) -> Any:
    """The harness's task manager, once it is clear that it knows every name.

    Parameters
    ----------
    names : list of str
        Tasks or groups of the harness.

    Raises
    ------
    InputError
        When the harness is not installed, or does not know a name.
    """
    if find_spec("lm_eval") is None:
        raise InputError("benchmarks: lm-evaluation-harness is not installed; install the extra tax, or empty the list")
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    if unknown := [name for name in names if name not in manager.all_tasks]:
        listing = "list the names with lm_eval ls tasks"
        raise InputError(f"benchmarks: {', '.join(unknown)} not known to lm-evaluation-harness; {listing}")
    return manager


def run_benchmarks(policy: Policy, names: list[str], batch_size: int, tasks: Any, folder: Path) -> dict[str, Results]:
    """Evaluate M_t on every benchmark; one that ``folder`` holds already is read, so that a crash costs one at most.

    The harness's ``hf`` model gets the policy as the study loads it everywhere: base model (safetensors, no remote
    code, NF4 where the study says so) with its adapter.

    Returns
    -------
    dict
        What the harness found, by benchmark: ``results`` and ``n-samples``, by task.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    found: dict[str, Results] = {}
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            model = HFLM(pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=batch_size)
            own = simple_evaluate(model, tasks=[name], task_manager=tasks, log_samples=False)
            kept = {key: own[key] for key in ("results", "n-samples", "versions", "n-shot")}
            write_text(path, json.dumps(kept, indent=1, sort_keys=True, default=str) + "\n")
        found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def benchmark_rows(found: dict[str, Results], params: BenchmarksParams) -> list[dict[str, Any]]:
    """Rows of results.csv, metric ``<task>.<metric>``, with bounds from the harness's standard errors."""
    table = Rows(params, "tax")
    for own in found.values():
        for task, metrics in own["results"].items():
            n = int(own["n-samples"].get(task, {}).get("effective", 0))
            for metric, interval in _intervals(metrics, n).items():
                table.add_values(f"{task}.{metric}", {language_of(task): interval})
    return table.rows


def _intervals(metrics: dict[str, Any], n: int) -> dict[str, Interval]:
    """``acc,none`` and ``acc_stderr,none`` of the harness as ``acc`` with bounds; other filters keep their name.

    The harness's standard errors are of large samples: the bounds are those of the normal distribution.
    """
    found = {}
    for key, value in metrics.items():
        metric, comma, selection = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = metrics.get(f"{metric}_stderr,{selection}")
        margin = NORMAL * error if isinstance(error, int | float) else float("nan")
        name = metric if selection == "none" else f"{metric}.{selection}"
        found[name] = Interval(float(value), value - margin, value + margin, n)
    return found


def language_of(task: str) -> str:
    """The language code in a task's name, such as es in ``m_mmlu_es``; a name without one is English."""
    return next((part for part in reversed(task.split("_")[1:]) if part in LANGUAGES), "en")
