"""What a study will take: against what studies did ask and take, and against the figures that the pages give."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from conftest import SHIPPED

from ldr_utils.commands import estimates, hours
from ldr_utils.commands.device import GIB, Device
from ldr_utils.commands.hours import Calls, hours_by_stage, hours_line, judge_calls, judge_parameters, judge_usd
from ldr_utils.commands.measure import Measured, measure
from ldr_utils.commands.model_files import shape_of
from ldr_utils.commands.shapes import KNOWN
from ldr_utils.study.params import EvaluateParams, StudyParams, load_params
from ldr_utils.study.paths import ROOT

H100 = Device("H100", (9, 0), ["sm_90"], "13.0", "bfloat16", 78 * GIB, 79 * GIB)
CPU = Device(None, (0, 0), [], None, "float32", 3 * GIB, 4 * GIB)
LLAMA_8B = KNOWN["meta-llama-3-8b-instruct"]


def study_of(name: str, *changes: str) -> StudyParams:
    return load_params(ROOT / "params" / f"{name}.yaml", list(changes))


def rows(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.glob(pattern):
        with path.open(encoding="utf-8", newline="") as file:
            total += sum(1 for _ in csv.DictReader(file))
    return total


def test_questions_are_those_that_a_study_asked(study: Path) -> None:
    """A finished smoke study: every comparison of 06 in both orders, and no pair that was not counted."""
    params = study_of("smoke")
    calls = judge_calls(params)
    asked = sum(rows(study, f"**/x_alpacaeval/{name}") for name in ("verdicts_reference.csv", "verdicts_M*.csv"))
    null = params.alpaca_prompts * len(params.all_languages)
    assert calls["x_alpacaeval"] == Calls(verdicts=2 * (asked + null))
    pairs = sum(len(path.read_text().splitlines()) for path in study.glob("**/pairs/train.jsonl"))
    dropped = sum(len(path.read_text().splitlines()) for path in study.glob("**/pairs/dropped.jsonl"))
    assert calls["premise"].verdicts == 2 * (pairs + dropped)


def test_questions_of_the_main_study() -> None:
    """By hand: 2 sets of 8 pairs a prompt in both orders, 13 texts a prompt scored; M0, M1, M2 and sft's M1."""
    calls = judge_calls(study_of("llama3-8b"))
    assert calls["premise"] == Calls(verdicts=2 * 2 * 8 * 1000, scores=2 * 13 * 1000)
    references, prompts, n = 9, 10, 805  # languages that have them (ja has no references)
    assert calls["x_alpacaeval"].verdicts == 2 * n * (4 * references + references + (0 + 1 + 1 + 2) * prompts)


def test_a_second_judge_and_arms_are_counted() -> None:
    once, more = judge_calls(study_of("smoke")), study_of("smoke", "arms=[lidr, sft, dominant_pairs]")
    assert judge_calls(more)["premise"].verdicts == once["premise"].verdicts + 2 * 8 * 2  # pairs of one side only
    assert judge_calls(more)["premise"].scores == once["premise"].scores  # M0's answers are scored once
    second = more.model_copy(update={"second_judge": "openai"})
    assert judge_calls(second)["second judge"].verdicts == 2 * 6 * 4 * 5  # M0, M1, M2, and M1 of two arms


def test_hours_of_a_study_that_was_run() -> None:
    """params/smollm2-cpu.yaml took 32 minutes on two cores (reports/LOG.md)."""
    took = hours_by_stage(study_of("smollm2-cpu"), CPU, KNOWN["smollm2-135m-instruct"])
    assert 0.35 < sum(took.values()) < 0.8
    assert set(took) == {"generation", "translation", "training", "answers", "premise", "x_alpacaeval"}


def test_hours_by_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "vllm_is_installed", lambda: True)
    vllm, plain = (
        hours_by_stage(study_of("llama3-8b", f"backend={name}"), H100, LLAMA_8B) for name in ("vllm", "transformers")
    )
    assert vllm["training"] == plain["training"]
    assert plain["answers"] > 5 * vllm["answers"]
    assert sum(plain.values()) > 20


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-72B-Instruct", 72),
        ("Unbabel/M-Prometheus-14B", 14),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", 3),
        ("Qwen/Qwen2.5-7B-Instruct", 7.6),
        ("gpt-4.1", None),
    ],
)
def test_size_of_a_judge(name: str, billions: float | None) -> None:
    found = judge_parameters(StudyParams(judge="openai", judge_model=name), LLAMA_8B)
    assert found == (None if billions is None else pytest.approx(billions * 1e9, rel=0.01))


def test_an_open_judge_costs_hours_and_a_hosted_one_money() -> None:
    own = study_of("llama3-8b", "judge_model=Qwen/Qwen2.5-7B-Instruct", "judge_url=http://localhost:8000/v1")
    hosted = study_of("llama3-8b", "judge_price_in=10.0", "judge_url=https://example.com/v1")
    free = own.model_copy(update={"judge_price_in": 0.0, "judge_price_out": 0.0})
    assert hours_by_stage(free, H100, LLAMA_8B)["x_alpacaeval"] > 1
    assert "x_alpacaeval" not in hours_by_stage(hosted, H100, LLAMA_8B)
    assert judge_usd(hosted) > 1000
    assert judge_usd(free) == 0
    line = hours_line(free, H100, LLAMA_8B)
    assert "an estimate" in line
    assert "USD" not in line
    assert "questions to the judge" in line


# The page


def test_the_page_gives_the_figures_of_today() -> None:
    text = estimates.PAGE.read_text(encoding="utf-8")
    assert estimates.filled(text) == text, "run python -m ldr_utils.commands.estimates"
    for path in SHIPPED:
        params = load_params(path)
        if params.source == "published" and not isinstance(params, EvaluateParams):
            assert re.search(rf"(?m)^\| `{path.stem}` \|.*\d \|", text), path.stem


def test_a_figure_that_is_out_of_date_is_replaced() -> None:
    row = "| `llama3-8b` | the main study | GPU, 80 GB | 1, 2 | 3 | 4 | 5 | 6 |"
    cells = estimates.figures("llama3-8b", "GPU, 80 GB")
    assert len(cells) == 5
    assert estimates.filled(row) == f"| `llama3-8b` | the main study | GPU, 80 GB | {' | '.join(cells)} |"
    assert estimates.filled("| `other` | what | a cluster | 1 |") == "| `other` | what | a cluster | 1 |"


def test_a_short_run_at_full_size_gives_the_hours(tmp_path: Path) -> None:
    """The micro model on this machine: what is measured decides the estimate, twice as fast is half the time."""
    study = StudyParams(languages=["en", "es"], unseen=[], train_batch_size=2, threads=1, backend="transformers")
    seen = measure(study, ["What is 2 + 3?", "Anna has 4 cups. How many?"], tmp_path)
    assert seen.written > 0
    assert seen.trained > 0
    micro = shape_of("models/micro")
    assert micro
    own, twice = (
        hours_by_stage(study, CPU, micro, measured=Measured(k * seen.written, k * seen.trained).speed(micro))
        for k in (1, 2)
    )
    assert own["generation"] == pytest.approx(2 * twice["generation"])
    assert own["training"] == pytest.approx(2 * twice["training"])
