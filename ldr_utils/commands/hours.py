"""What a study will take: hours by stage, questions to the judge, and money; estimates, made before it starts."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from ldr_utils.commands.device import GIB, Device
from ldr_utils.commands.shapes import KNOWN, Shape, parameter_count
from ldr_utils.data.coverage import check_languages, languages_lacking_prompts, languages_with_references
from ldr_utils.judges.endpoint import needs_key
from ldr_utils.policy.backends import VLLM_CAPABILITY, choose_backend, vllm_is_installed
from ldr_utils.scores.mt_bench import TURNS, read_questions
from ldr_utils.scores.premise import answers_are_its_own
from ldr_utils.study.arms import ARMS
from ldr_utils.study.params import StudyParams
from ldr_utils.study.stages import Place, places

ORDERS = 2  # a comparison is put to the judge both ways round
ANSWER_TOKENS = 400  # of a usual answer of a chat model, or of its translation
PROMPT_TOKENS = 100  # of a usual prompt, translated
WORDING_TOKENS = 400  # of a judge's question beside the answers
LOAD_HOURS = 2 / 60  # that a stage takes to load a large model
TRAINING_FLOPS = 10  # per parameter and token: forward and backward with recomputation, and the reference's forward


class Speed(NamedTuple):
    """What a class of devices does: parameters times tokens written a second, by backend, and operations a second."""

    vllm: float
    transformers: float
    flops: float


# Not measured but for the CPU (params/smollm2-cpu.yaml): a model of 8 billion parameters at 2,500 and 1,200 tokens/s
# with vLLM on 80 and 24 GB, and a sixth of that with transformers; one of 1.5 billion at 250 on a T4; matrix products
# at 100, 40 and 8 TFLOP/s.
LARGE_GPU = Speed(2500 * 8e9, 400 * 8e9, 100e12)
MEDIUM_GPU = Speed(1200 * 8e9, 200 * 8e9, 40e12)
SMALL_GPU = Speed(250 * 1.5e9, 250 * 1.5e9, 8e12)
CPU = Speed(250 * 0.135e9, 250 * 0.135e9, 0.2e12)
FASTEST = {"vllm": 10_000.0, "transformers": 2_500.0}  # tokens/s, however small the model


@dataclass(frozen=True)
class Calls:
    """Questions to the judge: comparisons, each order counted, and scores of single answers."""

    verdicts: int = 0
    scores: int = 0

    @property
    def total(self) -> int:
        return self.verdicts + self.scores

    def __add__(self, other: Calls) -> Calls:
        return Calls(self.verdicts + other.verdicts, self.scores + other.scores)


def judge_calls(params: StudyParams) -> dict[str, Calls]:
    """The questions that a study puts to its judge, by stage, were no answer lost and none given twice.

    Fewer are asked: for pairs that are dropped, translations without a result, and what was judged before. The second
    judge's are under ``second judge``.
    """
    found: Counter[str] = Counter()
    calls: dict[str, Calls] = {}
    for place in places(params):
        count = {"premise": _premise_calls, "x_alpacaeval": _alpaca_calls, "mt_bench": _mt_bench_calls}
        if place.stage.name in count:
            found[place.stage.name] += 1
            own = count[place.stage.name](params, place)
            calls[place.stage.name] = calls.get(place.stage.name, Calls()) + own
    references = ORDERS * params.alpaca_prompts * len(languages_with_references(params))
    calls["x_alpacaeval"] += Calls(references)  # the constant answer, once a study
    if params.second_judge != "none":
        calls["second judge"] = Calls(references * found["x_alpacaeval"])
    return calls


def pairs_of(params: StudyParams, arm: str) -> int:
    """Preference pairs of one model of an arm, were none dropped."""
    own = params.model_copy(update=dict(ARMS[arm].overrides))
    others = len(params.non_dominant)
    dominant = 1 if own.dominant_pairs == "last" else others
    kinds = {"all": others + dominant, "non_dominant": others, "dominant": dominant}
    return params.prompts_per_iteration * kinds[own.pair_languages]


def _premise_calls(params: StudyParams, place: Place) -> Calls:
    """Pairs in both orders; of a model's own answers each one, and its translations both ways."""
    answers = len(params.languages) + 2 * len(params.non_dominant)
    scores = params.prompts_per_iteration * answers if answers_are_its_own(place.t, place.arm) else 0
    return Calls(ORDERS * pairs_of(params, place.arm), scores)


def _alpaca_calls(params: StudyParams, place: Place) -> Calls:
    """Every answer against its reference, and against that of every earlier model."""
    prompts = len(check_languages(params)["x_alpacaeval"])
    comparisons = len(languages_with_references(params)) + place.t * prompts
    return Calls(ORDERS * params.alpaca_prompts * comparisons)


def _mt_bench_calls(params: StudyParams, place: Place) -> Calls:
    return Calls(scores=len(TURNS) * sum(len(questions) for questions in read_questions(params).values()))


def question_tokens(params: StudyParams) -> Calls:
    """Tokens of a comparison and of a score, as a tokenizer counts English."""
    answer = min(params.max_new_tokens, ANSWER_TOKENS)
    return Calls(WORDING_TOKENS + 2 * answer, WORDING_TOKENS + answer)


def judge_usd(params: StudyParams) -> float:
    """Money for the judge, at the study's prices: the reply is a token."""
    return (judge_tokens(params) * params.judge_price_in + total_calls(params) * params.judge_price_out) / 1e6


def judge_tokens(params: StudyParams) -> int:
    """Tokens that the judge reads."""
    size = question_tokens(params)
    return sum(c.verdicts * size.verdicts + c.scores * size.scores for c in judge_calls(params).values())


def speed_of(device: Device) -> Speed:
    """What a device does, by its class."""
    if device.gpu is None:
        return CPU
    if device.total >= 40 * GIB:
        return LARGE_GPU
    return MEDIUM_GPU if device.total >= 20 * GIB and device.capability >= (8, 0) else SMALL_GPU


def hours_by_stage(
    params: StudyParams, device: Device, shape: Shape, has_vllm: bool | None = None, measured: Speed | None = None
) -> dict[str, float]:
    """Estimate of what the stages with a model take, one after the other; a judge counts where this machine runs it.

    Parameters
    ----------
    params : StudyParams
        The study.
    device : Device
        Where it would run.
    shape : Shape
        The base model.
    has_vllm : bool, optional
        Whether vLLM is installed there; as it is here where nothing is said.
    measured : Speed, optional
        What the device was seen to do, in place of what its class is taken to do.

    Returns
    -------
    dict of str to float
        Hours by name of the stage. Benchmarks, whose size is not known, are left out.
    """
    speed, size = measured or speed_of(device), parameter_count(shape)
    there = vllm_is_installed() if has_vllm is None else has_vllm
    backend = choose_backend(params, there, device.capability).name
    written = getattr(speed, backend) / size  # tokens a second
    written = written if measured else min(FASTEST[backend], written)
    trained = speed.flops / (TRAINING_FLOPS * size)
    answer = min(params.max_new_tokens, ANSWER_TOKENS)
    tests = check_languages(params)
    problems = params.mgsm_problems * len(tests["mgsm"]) + params.alpaca_prompts * len(tests["x_alpacaeval"])
    problems += len(TURNS) * sum(len(questions) for questions in read_questions(params).values())
    texts = {
        "prompts": params.iterations * params.prompts_per_iteration * len(languages_lacking_prompts(params)),
        "generation": params.prompts_per_iteration * len(params.languages),
        "translation": 2 * len(params.non_dominant) * (params.prompts_per_iteration + params.round_trip_sample),
        "answers": problems,
    }
    hours: dict[str, float] = {}
    for place in places(params):
        name, took = place.stage.name, 0.0
        if name in texts:
            took = texts[name] * (min(answer, PROMPT_TOKENS) if name == "prompts" else answer) / written
        elif name == "training":
            sides = 1 if ARMS[place.arm].training.get("objective", params.objective) == "nll" else 2
            took = params.epochs * pairs_of(params, place.arm) * sides * answer / trained
        if took:
            hours[name] = hours.get(name, 0.0) + took / 3600 + (LOAD_HOURS if device.gpu else 0.0)
    if judges_here(params) and (judge := judge_parameters(params, shape)):
        reading = speed.flops / (2 * judge)  # tokens a second
        tokens = question_tokens(params)
        for name, calls in judge_calls(params).items():
            read = calls.verdicts * tokens.verdicts + calls.scores * tokens.scores
            hours[name] = read / reading / 3600
    return hours


def judges_here(params: StudyParams) -> bool:
    """Whether the judge's work is this machine's: loaded in the stage, or served beside it."""
    return params.judge == "local" or (params.judge == "openai" and not needs_key(params.judge_url))


def judge_parameters(params: StudyParams, base: Shape) -> float | None:
    """Parameters of the judge that a token passes through: of a known model, or as its name says (``-14B-``)."""
    if params.judge_model == params.base_model:
        return parameter_count(base)
    name = params.judge_model.rpartition("/")[2].lower()
    if name in KNOWN:
        return parameter_count(KNOWN[name])
    said = re.findall(r"(?<![\w.])a?(\d+(?:\.\d+)?)b(?!\w)", name)  # of 30b-a3b the active ones
    return float(said[-1]) * 1e9 if said else None


def hours_line(params: StudyParams, device: Device, shape: Shape) -> str:
    """The estimate in words: hours in all and by stage, questions to the judge and their price."""
    hours, calls, usd = hours_by_stage(params, device, shape), total_calls(params), judge_usd(params)
    by_stage = ", ".join(f"{name} {value:.1f}" for name, value in hours.items())
    asked = f"; up to {calls:,} questions to the judge" + (f", {usd:,.0f} USD" if usd else "")
    where = device.gpu or "a CPU"
    return f"about {sum(hours.values()):.1f} hours on {where}, an estimate ({by_stage}){asked}"


def slow_backend(params: StudyParams, device: Device, shape: Shape) -> str | None:
    """What to say where transformers generates from a large model on a GPU that vLLM would use better."""
    backend = choose_backend(params, vllm_is_installed(), device.capability).name
    if backend == "vllm" or device.capability < VLLM_CAPABILITY or parameter_count(shape) < 1e9:
        return None
    faster = speed_of(device).vllm / speed_of(device).transformers
    how = "install vllm (docs/real-models.md, Backends)" if not vllm_is_installed() else "set backend: vllm"
    return f"transformers generates, some {faster:.0f} times slower than vLLM; {how}"


def total_calls(params: StudyParams) -> int:
    """The questions of `judge_calls` together; those to the rubric of the micro world cost nothing and are none."""
    return 0 if params.judge == "rubric" else sum(judge_calls(params).values(), Calls()).total
