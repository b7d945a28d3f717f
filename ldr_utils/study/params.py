"""Parameters: one flat schema, sliced by notebook, validated before any work starts and again in each notebook."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ldr_utils.languages.table import BUILT_IN, CODE, adopt, record_of
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import ROOT, Run
from ldr_utils.study.text import one_line

Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Rows = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, le=4_000_000)]  # training takes 1000 * seed + t, NumPy only what is below 2**32
Share = Annotated[float, Field(ge=0, le=1)]
Price = Annotated[float, Field(ge=0)]
Source = Literal["micro", "published"]
P = TypeVar("P", bound="_Params")
LONGEST_PROSE = 4000  # characters
OURS_TO_RENDER = {  # what `policy.chat` or transformers gives to a template, or to the code that renders it
    *("messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "tokenize"),
    *("continue_final_message", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs", "strftime_now"),
}


def _known_arm(name: str, info: ValidationInfo) -> str:
    if name not in ARMS:
        raise ValueError(f"{info.field_name}: {name!r} is not known; choose from {', '.join(ARMS)}")
    return name


def _usable(text: str, info: ValidationInfo) -> str:
    if not text.isprintable() or len(text) > 1000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError(f"{info.field_name}: has control characters or is too long for a path or name; correct it")
    return text


def _prose(text: str, info: ValidationInfo) -> str:
    if not text.replace("\n", "").isprintable() or len(text) > LONGEST_PROSE:
        raise ValueError(f"{info.field_name}: has control characters or over {LONGEST_PROSE:,} characters; correct it")
    return text


def _for_a_template(values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Variables of a chat template: names that nothing else is called by, and values that YAML writes in one word."""
    for name, value in values.items():
        if not name.isidentifier() or name in OURS_TO_RENDER:
            raise ValueError(f"{info.field_name}: {SHORT.repr(name)} is no variable of a chat template; remove it")
        if not isinstance(value, bool | int | float | str) or value in (math.inf, -math.inf) or value != value:
            raise ValueError(f"{info.field_name}: {name}: give true, false, a number or a text")
    return values


def _records(values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Languages that the project does not know, or knows otherwise: see `languages.table.record_of`."""
    for lang, record in values.items():
        if not CODE.fullmatch(lang):
            raise ValueError(
                f"{info.field_name}: {SHORT.repr(lang)} is no code of a language; write it like pt or pt_BR"
            )
        if not isinstance(record, dict):
            raise ValueError(
                f"{info.field_name}: {lang}: give a record: name, flores, answer_phrases (docs/extending.md)"
            )
        try:
            record_of(lang, record)
        except ValueError as error:
            raise ValueError(f"{info.field_name}: {error}") from None
    return values


StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
ArmName = Annotated[str, AfterValidator(_known_arm)]
# A path or the name of a model; mostly it may be empty. No shell expands the ``~`` of a params file.
PathText = Annotated[str, AfterValidator(_usable), AfterValidator(os.path.expanduser)]
Prose = Annotated[str, AfterValidator(_prose)]  # a text for the model
TemplateValues = Annotated[dict[str, Any], AfterValidator(_for_a_template)]
LanguageRecords = Annotated[dict[str, Any], AfterValidator(_records)]
SECRETIVE = {"judge_url", "judge_key_env"}  # where a key could have been written: no message repeats the value
SHORT = Repr()  # YAML aliases can make a value that is too large to show
SHORT.maxlevel, SHORT.maxstring = 2, 80


def param(default: Any, help: str, *, machine: bool = False, kept: bool = True) -> Any:
    """Declare a parameter: everything that is said about it is said here.

    Parameters
    ----------
    default : value
        Its value in the micro study.
    help : str
        What it means, in one short line: the parameters cells and ``params/micro.yaml`` are stamped with it.
    machine : bool
        Whether it says where, how fast and at what price a stage runs, not what the stage computes.
    kept : bool
        Whether it decides what a stage may keep of a model's work when it is run again. A parameter that acts through
        the prompts, the pairs or the verdicts, which are looked at one by one, does not.
    """
    return Field(default=default, description=help, json_schema_extra={"machine": machine, "kept": kept})


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Common(_Params):
    """What every notebook needs to know."""

    study: StudyName = param("micro", "name of the study, and of its run folder in runs/", kept=False)
    run_dir: str = param("runs/micro", "run folder, relative to the repository", machine=True)
    seed: Seed = param(11, "decides every random draw; 11 is none that a setting was chosen on (reports/LOG.md)")
    dominant: str = param("en", "the language whose answers are trusted", kept=False)
    languages: list[str] = param(
        ["en", "es", "ru", "de", "fr"], "trained on, the dominant one included (the paper's five)", kept=False
    )
    unseen: list[str] = param(["it", "sw"], "evaluated but never trained on", kept=False)
    language_records: LanguageRecords = param(
        {}, "facts of languages that languages/table.py lacks, by code (docs/extending.md)", kept=False
    )

    @property
    def all_languages(self) -> list[str]:
        return [*self.languages, *self.unseen]

    @property
    def non_dominant(self) -> list[str]:
        return [lang for lang in self.languages if lang != self.dominant]

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        for lang in self.all_languages:
            if lang not in {*BUILT_IN, *self.language_records}:
                known = ", ".join(sorted({*BUILT_IN, *self.language_records}))
                raise ValueError(
                    f"languages: {lang!r} is not known; choose from {known}, or add it to language_records"
                )
        if len(set(self.all_languages)) != len(self.all_languages):
            raise ValueError("languages, unseen: a language is listed twice; list each once")
        if self.dominant not in self.languages:
            raise ValueError(f"dominant: {self.dominant!r} is not among languages; add it or choose another")
        if len(self.languages) < 2:
            raise ValueError("languages: no non-dominant language is left; list at least one besides the dominant")
        return self


class IterationParams(Common):
    """Notebooks that see all iterations."""

    iterations: Positive = param(2, "how often the model is improved (paper: 2, M_0 -> M_1 -> M_2)", kept=False)


BY_WHOM = "published only: self (M0) or a model: translates the prompts that languages lack"


class TrainingPromptsParams(Common):
    """Stages that read training prompts, which may have been translated."""

    translate_prompts: PathText = param("", BY_WHOM, kept=False)


class WordProblemParams(Common):
    """Stages that write the prompt of a word problem."""

    problem_prefix: Prose = param("", "published only: opens a word problem, in place of our words; may say {language}")


class DataParams(IterationParams, TrainingPromptsParams, WordProblemParams):
    """01_data."""

    source: Source = param("micro", "micro (generated), or published (test sets, and prompts published or your own)")
    data_dir: PathText = param(
        "", "published only: a folder of the files (ldr_utils/data/files.py); empty downloads them"
    )
    train_set: Annotated[PathText, Field(min_length=1)] = param(
        "alpagasus", "published only: alpagasus, gsm8k (word problems), ultrafeedback or a folder of prompts"
    )
    prompts_per_iteration: Rows = param(200, "training prompts an iteration (paper: 1,000)")
    arithmetic_share: Share = param(
        0.6, "micro only: share of word problems among the training prompts (paper: all or none)"
    )
    mgsm_set: Literal["mgsm", "rev2"] = param(
        "mgsm", "published only: mgsm (as in the paper) or rev2 (MGSM-Rev2, corrected in 2025)"
    )
    mgsm_problems: Rows = param(150, "word problems in the test set (all of MGSM: 250)")
    alpaca_prompts: Rows = param(100, "instructions in the test set (all of X-AlpacaEval: 805)")

    @model_validator(mode="after")
    def _keys_belong_to_the_source(self) -> Self:
        """A notebook is always given every key, so that only a value other than the default shows what was meant."""
        of_other = {
            "micro": ["data_dir", "train_set", "translate_prompts", "mgsm_set", "problem_prefix"],
            "published": ["arithmetic_share"],
        }[self.source]
        for key in of_other:
            if getattr(self, key) != DataParams.model_fields[key].default:
                raise ValueError(f"{key}: has no meaning with source: {self.source}; remove it or change source")
        return self


class ArmParams(Common):
    """Stages of one model M_t of one arm."""

    t: Count = param(0, "index of the model M_t")
    arm: ArmName = param(MAIN, "lidr (the method), or another arm of ldr_utils/study/arms.py")

    @model_validator(mode="after")
    def _are_those_of_the_arm(self) -> Self:
        """The driver sees to it; a notebook run by hand could mix two arms."""
        for key, value in ARMS[self.arm].overrides.items():
            if key in type(self).model_fields and getattr(self, key) != value:
                raise ValueError(f"{key}: the arm {self.arm} means {value!r}; set it so, or choose another arm")
        return self


class ModelParams(ArmParams):
    """Stages that load M_t."""

    base_model: PathText = param("models/micro", "folder or hub name of M_0 (models/micro: made by 00_base_model)")
    quantization: Literal["none", "nf4"] = param("none", "none, or nf4 for 4-bit weights (QLoRA)")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = param("auto", "auto, float32, bfloat16 or float16")
    system_prompt: Prose = param("", "what M_t is told before every conversation; empty: what its template does")
    chat_template_kwargs: TemplateValues = param(
        {}, "variables of M_t's chat template, such as {enable_thinking: false}"
    )
    threads: Positive = param(2, "processor threads of the model", machine=True)

    def adapter(self, t: int) -> Path | None:
        """Folder of the adapter that makes M_t of the base model; M_0 has none."""
        return Run.at(self.run_dir).stage(t, "adapter", self.arm) if t > 0 else None


class BatchParams(ModelParams):
    """Stages that put prompts to M_t in batches."""

    batch_size: Positive = param(100, "transformers only: prompts put to the model at once")


Penalty = Annotated[float, Field(gt=0)]


class Decoding(NamedTuple):
    """How answers come about, greedily as in the paper: nothing else that a model's own files ask for plays a part."""

    max_new_tokens: int
    repetition_penalty: float


class BackendParams(BatchParams):
    """Stages that generate; ``decoding`` has what is theirs of the parameters with that name in them."""

    backend: Literal["auto", "transformers", "vllm"] = param(
        "auto", "transformers, vllm (not quantised), or auto: vllm on a GPU of capability 8.0"
    )
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = param(
        0.9, "vllm on a GPU only: share of its memory that the engine may fill", machine=True
    )
    max_model_len: Count = param(
        0, "vllm only: longest prompt and answer together, in tokens; 0 is what the model allows"
    )

    @property
    def decoding(self) -> Decoding:
        raise NotImplementedError


class DecodingParams(BackendParams):
    """Stages whose answers M_t learns from, and its alignment tax."""

    max_new_tokens: Positive = param(110, "longest answer in tokens (paper: 2,400)")
    repetition_penalty: Penalty = param(
        1.0, "above 1 discourages repeating (paper: 1.1; a tiny model's arithmetic must repeat)"
    )

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.max_new_tokens, self.repetition_penalty)


class GenerationParams(DecodingParams, TrainingPromptsParams):
    """02_generation."""


class TranslatingParams(BackendParams):
    """Stages that translate."""

    translation_max_new_tokens: Positive = param(110, "longest translation in tokens (authors' release: 4,096)")
    translation_repetition_penalty: Penalty = param(1.0, "as repetition_penalty (authors' release: 1.0)")

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.translation_max_new_tokens, self.translation_repetition_penalty)


class PromptsParams(TranslatingParams, IterationParams, WordProblemParams):
    """01b_prompts."""

    translate_prompts: PathText = param("", BY_WHOM)  # decides what is kept here


class TranslationParams(TranslatingParams):
    """03_translation: ``translator`` is M_t itself, or the folder or hub name of another model."""

    translator: Annotated[PathText, Field(min_length=1)] = param(
        "self", "self (M_t, as in the paper), or folder or hub name of a chat or a seq2seq model (NLLB)"
    )
    round_trip_sample: Count = param(
        50, "translations a language that are translated back and compared (chrF); 0 for none", kept=False
    )


class JudgeParams(Common):
    """Stages that judge; see ``ldr_utils.judges.verdicts``."""

    judge: Literal["rubric", "local", "openai"] = param(
        "rubric", "rubric (micro world only), local (transformers) or openai (any such endpoint)", kept=False
    )
    judge_model: PathText = param("", "local: folder or hub name; openai: the name that the endpoint knows", kept=False)
    judge_url: str = param("", "openai only: such as http://localhost:8000/v1; empty is OpenAI's own", kept=False)
    judge_key_env: str = param(
        "JUDGE_API_KEY", "openai only: the environment variable that holds the key", machine=True, kept=False
    )
    judge_concurrency: Positive = param(8, "openai only: questions in flight", machine=True, kept=False)
    judge_protocol: Literal["both_orders", "alpaca_eval"] = param(
        "both_orders",
        "both_orders (ours), or alpaca_eval (one order a case, the package's own prompt)",
        kept=False,
    )
    judge_max_tokens: Positive = param(
        2048, "longest reply of a judge that thinks; one that does not is given 8 tokens", kept=False
    )
    judge_template_kwargs: TemplateValues = param(
        {}, "what the judge's chat template is told, such as {enable_thinking: false}", kept=False
    )
    judge_batch_size: Positive = param(8, "local only: questions at once", kept=False)
    judge_price_in: Price = param(0.0, "openai only: USD per million tokens read", machine=True, kept=False)
    judge_price_out: Price = param(0.0, "openai only: USD per million tokens written", machine=True, kept=False)
    judge_budget: Price = param(
        0.0, "USD that the whole study may spend on judging; 0 is no cap", machine=True, kept=False
    )

    @field_validator("judge_key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        """The value stays out of the message: it could be the key itself."""
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
            raise ValueError("judge_key_env: is not the name of an environment variable; name the one that has the key")
        return value

    @field_validator("judge_url")
    @classmethod
    def _is_an_endpoint(cls, value: str) -> str:
        """Neither a user nor a query: they are where a key would be, and params are written to files."""
        if value and not re.fullmatch(r"https?://[\w.\-\[\]:]+(/[\w./~\-]*)?", value):
            raise ValueError("judge_url: is not a plain address; write it like http://localhost:8000/v1")
        return value

    @model_validator(mode="after")
    def _judge_is_complete(self) -> Self:
        if self.judge == "rubric" and self.judge_protocol != "both_orders":
            raise ValueError("judge_protocol: the rubric reads no prompt; set both_orders, or another judge")
        if self.judge != "rubric" and not self.judge_model:
            raise ValueError(f"judge_model: the {self.judge} judge needs one; name a model")
        if self.judge_budget and not self.judge_price_in + self.judge_price_out:
            raise ValueError("judge_budget: needs the judge's prices; set judge_price_in and judge_price_out")
        return self


class OwnPairsParams(ArmParams):
    """Stages of the pairs of an arm: M0 has pairs of its own for those arms that select them, and for the main one."""

    @model_validator(mode="after")
    def _arm_has_pairs_of_its_own(self) -> Self:
        if self.t == 0 and self.arm != MAIN and not ARMS[self.arm].pairs:
            raise ValueError(f"arm: {self.arm} is trained on M0's pairs of {MAIN}; set arm to {MAIN}")
        return self


class PairsParams(OwnPairsParams):
    """04_pairs."""

    dominant_pairs: Literal["all", "last"] = param(
        "all", "all, or last: the last language's dominant pairs only, as the released script does"
    )
    pair_languages: Literal["all", "non_dominant", "dominant"] = param(
        "all", "all, or the pairs of one side only: non_dominant or dominant"
    )
    equal_pairs: Literal["keep", "drop"] = param("keep", "keep or drop pairs whose two sides are equal")


class PremiseParams(OwnPairsParams, JudgeParams, TrainingPromptsParams):
    """04b_premise."""


class TrainingParams(ModelParams):
    """05_qlora_dpo: from M_{t-1} to M_t."""

    t: Positive = param(1, "index of the model M_t that comes out")
    objective: Literal["dpo_nll", "nll"] = param(
        "dpo_nll", "dpo_nll (the paper's loss), or nll (the chosen side alone, as in the arm sft)"
    )
    beta: Annotated[float, Field(gt=0)] = param(
        0.1, "tie to the reference (not stated in the paper; the literature's common choice)"
    )
    alpha: Annotated[float, Field(ge=0)] = param(
        4.0, "weight of the NLL term (not stated; commonly 1; chosen on a development seed)"
    )
    learning_rate: Annotated[float, Field(gt=0)] = param(
        2e-4, "peak of the cosine schedule (not stated; chosen on a development seed)"
    )
    epochs: Positive = param(1, "passes over the pairs")
    train_batch_size: Positive = param(16, "pairs in a forward pass")
    gradient_accumulation: Positive = param(1, "forward passes an optimizer step")
    warmup_steps: Count = param(4, "steps of linear warm-up")
    lora_r: Positive = param(32, "rank of the adapter")
    lora_alpha: Positive = param(64, "scale of the adapter")
    max_length: Positive = param(320, "tokens of prompt and answer; longer pairs are set aside and counted")
    gradient_checkpointing: bool = param(False, "trade time for memory")
    save_steps: Positive = param(25, "optimizer steps between checkpoints")

    @model_validator(mode="after")
    def _nll_has_weight(self) -> Self:
        if self.objective == "nll" and self.alpha == 0:
            raise ValueError("alpha: the objective nll has no other term; set alpha above 0")
        return self


class AlpacaParams(ArmParams, JudgeParams):
    """06_x_alpacaeval; a second judge, if there is one, shares the first one's endpoint, key and budget."""

    second_judge: Literal["none", "rubric", "local", "openai"] = param(
        "none", "none, or as judge: judges the answers again; the agreement is reported", kept=False
    )
    second_judge_model: PathText = param(
        "", "as judge_model; endpoint, key and budget are the first judge's", kept=False
    )

    @model_validator(mode="after")
    def _second_judge_is_another(self) -> Self:
        if self.second_judge in ("local", "openai") and not self.second_judge_model:
            raise ValueError(f"second_judge_model: the {self.second_judge} judge needs one; name a model")
        same_model = self.second_judge == "rubric" or self.second_judge_model == self.judge_model
        if self.second_judge == self.judge and same_model:
            raise ValueError("second_judge: is the first judge again; name another, or none")
        return self

    def of_second_judge(self) -> Self:
        """These parameters with the second judge in the place of the first."""
        return self.model_copy(update={"judge": self.second_judge, "judge_model": self.second_judge_model})


class MgsmParams(ArmParams):
    """07_mgsm."""


class TaxParams(DecodingParams):
    """07b_alignment_tax: what the micro world's M_t keeps; always with transformers, for a perplexity takes
    probabilities."""

    tax_problems: Annotated[int, Field(ge=2)] = param(
        40, "micro only: held-out problems for perplexity and translation accuracy", kept=False
    )


BenchmarkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # a name, never a path


class BenchmarksParams(BatchParams):
    """07c_benchmarks."""

    benchmarks: list[BenchmarkName] = param(
        [], "tasks of lm-evaluation-harness (extra tax), such as m_mmlu_es, hellaswag_es, arc_es", kept=False
    )


class MtBenchQuestions(Common):
    """Stages that read MT-Bench's questions."""

    mt_bench_dir: PathText = param(  # its files are inputs
        "", "a folder with MT-Bench's questions as LANG.jsonl, for a judge that is a model", machine=True, kept=False
    )


class AnswersParams(BackendParams, MtBenchQuestions):
    """05b_answers: M_t answers every test set of the study."""

    evaluation_max_new_tokens: Positive = param(110, "longest answer to a test set (authors' release: 2,048)")
    evaluation_repetition_penalty: Penalty = param(1.0, "as repetition_penalty (authors' release: 1.1)")

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.evaluation_max_new_tokens, self.evaluation_repetition_penalty)


class ReleasedParams(AnswersParams):
    """``ldr evaluate``: one model that answers, whoever trained it."""

    adapter_folder: str = param("", "LoRA adapter on base_model; empty for none", kept=False)
    weights: str = param("", "what the weights are: a commit of the hub, or a checksum of the files")

    def adapter(self, t: int) -> Path | None:
        return Path(self.adapter_folder) if self.adapter_folder else None


class MtBenchParams(ArmParams, JudgeParams, MtBenchQuestions):
    """07d_mt_bench."""

    @model_validator(mode="after")
    def _mt_bench_has_a_judge(self) -> Self:
        if self.mt_bench_dir and self.judge == "rubric":
            raise ValueError("judge: the rubric cannot score MT-Bench; choose local or openai, or empty mt_bench_dir")
        return self


class ReportParams(IterationParams):
    """08_report."""

    arms: list[ArmName] = param(
        [MAIN, "sft"], "sft: the paper's Multilingual Alignment; all: ldr_utils/study/arms.py", kept=False
    )
    runs: list[PathText] = param(
        [], "several runs of one study, a seed each; empty: run_dir alone", machine=True, kept=False
    )


class PretrainingParams(_Params):
    """00_base_model: run once by the maintainers, outside of a study."""

    model_dir: str = param("models/micro", "where the finished model goes, relative to the repository")
    work_dir: str = param("runs/base_model", "checkpoints of the training run")
    seed: Count = param(0, "decides the data and the initial weights")
    steps: Positive = param(6000, "optimizer steps")
    rows: Positive = param(16, "rows a step")
    row_tokens: Positive = param(256, "tokens a row")
    learning_rate: Annotated[float, Field(gt=0)] = param(
        3e-3, "peak, after 100 steps of warm-up; falls linearly to 2 %"
    )
    share_dominant: Share = param(0.42, "share of question answering in English, all levels")
    share_others: Share = param(0.08, "share of question answering in all other languages together, level 1 only")
    vocab_size: Positive = param(2048, "entries of the BPE tokenizer")
    hidden_size: Positive = param(192, "width of the model")
    layers: Positive = param(4, "depth of the model")
    heads: Positive = param(3, "attention heads (a head size of 64 can be served by vLLM)")
    intermediate_size: Positive = param(512, "width of the feed-forward layers")
    threads: Positive = param(2, "processor threads", machine=True)
    problems: Positive = param(150, "held-out problems a family for the figures of the model card")


NOTEBOOKS: dict[str, type[_Params]] = {
    "00_base_model": PretrainingParams,
    "01_data": DataParams,
    "01b_prompts": PromptsParams,
    "02_generation": GenerationParams,
    "03_translation": TranslationParams,
    "04_pairs": PairsParams,
    "04b_premise": PremiseParams,
    "05_qlora_dpo": TrainingParams,
    "05b_answers": AnswersParams,
    "06_x_alpacaeval": AlpacaParams,
    "07_mgsm": MgsmParams,
    "07b_alignment_tax": TaxParams,
    "07c_benchmarks": BenchmarksParams,
    "07d_mt_bench": MtBenchParams,
    "08_report": ReportParams,
}
PER_RUN = {"t", "arm", "run_dir", "runs"}  # set by the driver, not by a params file
RENAMED = {"english_pairs": "dominant_pairs"}  # old keys that params files may still have


class StudyParams(
    DataParams,
    GenerationParams,
    TranslationParams,
    TrainingParams,
    AnswersParams,
    AlpacaParams,
    TaxParams,
    BenchmarksParams,
    MtBenchParams,
    ReportParams,
    PairsParams,
):
    """Everything a params file may say; ``t`` and ``arm`` are set by the driver for every stage."""

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if MAIN not in self.arms:
            raise ValueError(f"arms: the main arm {MAIN} is missing; add it")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("arms: an arm is listed twice; list each once")
        for k, arm in enumerate(self.arms):
            self._check_arm(arm, self.arms[:k])
        if "rubric" in (self.judge, self.second_judge) and self.source != "micro":
            raise ValueError(f"judge: the rubric knows the micro world only, not source: {self.source}; choose another")
        return self

    def _check_arm(self, arm: str, others: list[str]) -> None:
        own = self.for_arm(arm)
        for other in others:
            if own == self.for_arm(other):
                raise ValueError(f"arms: with these parameters {arm} is the same as {other}; remove one of them")
        if own["objective"] == "nll" and own["alpha"] == 0:
            raise ValueError(f"alpha: the arm {arm} trains on the NLL term alone; set alpha above 0")

    def for_arm(self, arm: str) -> dict[str, Any]:
        """The study's parameters with those that the arm changes."""
        return self.model_dump() | ARMS[arm].overrides

    def for_notebook(self, name: str, arm: str = MAIN) -> dict[str, Any]:
        """The parameters that notebook ``name`` is given for an arm (without those the driver sets per run)."""
        fields = set(NOTEBOOKS[name].model_fields) - PER_RUN
        return {key: value for key, value in self.for_arm(arm).items() if key in fields}


class EvaluateParams(StudyParams):
    """A params file of ``ldr evaluate``: what a study says of data, decoding and judge, and the models to evaluate."""

    models: list[PathText] = param([], "NAME=MODEL, or MODEL: folder, hub name, or BASE+ADAPTER", kept=False)


def machine_params(schema: type[BaseModel]) -> set[str]:
    """Names of the parameters that say where, how fast and at what price a stage runs, not what it computes."""
    return _marked(schema, "machine")


def kept_params(schema: type[BaseModel]) -> set[str]:
    """Names of the parameters that decide what a stage may keep of a model's work when it is run again."""
    return _marked(schema, "kept") - _marked(schema, "machine")


def _marked(schema: type[BaseModel], mark: str) -> set[str]:
    marks = {name: field.json_schema_extra for name, field in schema.model_fields.items()}
    return {name for name, extra in marks.items() if isinstance(extra, dict) and extra[mark]}


def load_params(path: Path, overrides: list[str] | None = None) -> StudyParams:
    """Read and validate a params file.

    With ``extends: OTHER.yaml``, relative to its own folder (of a pipe, to ``params/``), a file says only in what it
    differs from another one. That other one may not extend a third: who reads a study should have two files to open at
    most. A file that names ``models`` is one of ``ldr evaluate``.

    Parameters
    ----------
    path : Path
        YAML file.
    overrides : list of str, optional
        ``key=value`` pairs; the value is read as YAML.

    Raises
    ------
    InputError
        One line naming the file, the key and the remedy.
    """
    given = _read_yaml(path)
    base_path, base = _read_base(path, given.pop("extends")) if "extends" in given else (path, {})
    changed = read_overrides(overrides or [])
    sources: dict[str, str] = {}
    for source, values in ((str(base_path), base), (str(path), given), ("--set", changed)):
        for key in PER_RUN & values.keys():
            raise InputError(f"{source}: {key}: is set by the driver (use --out for the run folder); remove it")
        sources |= dict.fromkeys(values, source)
    given = base | given | changed
    return validate(EvaluateParams if "models" in given else StudyParams, given, str(path), sources)


def evaluate_params(params: StudyParams, models: list[str]) -> EvaluateParams:
    """A study's parameters for ``ldr evaluate``; ``models``, where there are any, are the ones in place of its own."""
    return validate(EvaluateParams, params.model_dump() | ({"models": models} if models else {}), "MODEL")


def validate(schema: type[P], values: dict[str, Any], source: str, other_sources: dict[str, str] | None = None) -> P:
    """Build ``schema`` from ``values``; the first problem becomes one line.

    It starts with ``source``, or with that of ``other_sources``, by key, from which the value is.
    """
    try:
        built = schema(**values)
    except ValidationError as error:
        first = error.errors()[0]
        said = _explain(first)
        key = str(first["loc"][0]) if first["loc"] else said.partition(":")[0].partition(",")[0]
        raise InputError(f"{(other_sources or {}).get(key, source)}: {said}") from None
    if isinstance(built, Common):
        adopt(built.language_records)  # a process works on one study
    return built


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden" and not key.isprintable():  # a byte order mark, say
        return f"{key!a}: has a character that cannot be seen; type the key again"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its spelling"
    if error["type"] == "value_error":  # raised by our own validators, which name key and remedy themselves
        return str(error["ctx"]["error"])
    given = "" if key.partition(".")[0] in SECRETIVE else f", not {SHORT.repr(error['input'])}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{given}; correct the value"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = _parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; choose one from params/") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a params file") from None
    except ValueError as error:  # of the encoding, too
        raise InputError(f"{path}: not readable as YAML ({error}); correct it") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold key: value lines; see params/micro.yaml")
    return _renamed({str(key): value for key, value in values.items()}, str(path))


def _read_base(path: Path, name: Any) -> tuple[Path, dict[str, Any]]:
    """The file that ``path`` extends, and what it says."""
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: extends: is not the name of a file; write it like extends: llama3-8b.yaml")
    base = (path.parent if path.is_file() else ROOT / "params") / name  # a pipe lies in no folder
    try:
        values = _read_yaml(base)
    except InputError as error:
        raise InputError(f"{path}: extends: {error}") from None
    if "extends" in values:
        raise InputError(f"{path}: extends: {base} itself extends a file; name one that does not")
    return base, values


def read_overrides(overrides: list[str], flag: str = "--set") -> dict[str, Any]:
    """``key=value`` words of a flag, each value read as YAML; raises InputError for any that is not so."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"{flag} {override}: write it as key=value")
        if key == "extends":
            raise InputError(f"{flag} {override}: only a file can extend another; write it there")
        try:
            values[key] = _parse_yaml(text)
        except ValueError:
            raise InputError(f"{flag} {override}: the value is not readable as YAML; correct it") from None
    return _renamed(values, flag)


def _renamed(values: dict[str, Any], source: str) -> dict[str, Any]:
    """``values`` under today's names; an old name is taken, and told to whoever runs this."""
    for old, new in RENAMED.items():
        if old in values and new in values:
            raise InputError(f"{source}: {old}: is the old name of {new}, which is there too; remove {old}")
        if old in values:
            print(one_line(f"{source}: {old} is now called {new}; rename the key"), file=sys.stderr)
    return {RENAMED.get(key, key): value for key, value in values.items()}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 with its JSON-like numbers, of which 011 is eleven; PyYAML's 1.1 reads 9, and 90 where 1:30 stands.

    What is no decimal number, true, false or null is text: ``yes``, ``1_000``, ``0x10``, a date. A key that is there
    twice, of which YAML would keep the last in silence, is refused.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own, which is shared

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for k, key in enumerate(keys) if key in keys[:k]), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would not read as the text that it is."""


SCALARS: dict[str, tuple[str, Any]] = {
    "null": (r"~|null|Null|NULL|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: {"true": True, "false": False}[text.lower()]),
    "int": (r"[-+]?[0-9]+", int),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        lambda text: float(re.sub(r"\.(?=[in])", "", text.lower())),
    ),
}


def _scalar(build: Any) -> Any:
    return lambda loader, node: build(loader.construct_scalar(node))


for _name, (_pattern, _build) in SCALARS.items():  # in this order: an int would be a float, too
    _tag = f"tag:yaml.org,2002:{_name}"
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), None)
    _Loader.add_constructor(_tag, _scalar(_build))
    _Dumper.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), None)


def _parse_yaml(text: str) -> Any:
    """YAML from a file that may hold anything.

    Raises
    ------
    ValueError
        When it cannot be read: one line. The constructors of PyYAML raise whatever they stumble over (``!!int x``, a
        thousand brackets).
    """
    try:
        return yaml.load(text, _Loader)
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def write_yaml(values: dict[str, Any]) -> str:
    """Parameters as the text of a params file, in the order given."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def from_notebook(schema: type[P], namespace: dict[str, Any]) -> P:
    """Validate the values of a notebook's parameters cell.

    Parameters
    ----------
    schema : type
        The notebook's schema.
    namespace : dict
        ``globals()`` of the notebook, in which every field of the schema has a value.
    """
    return validate(schema, {name: namespace[name] for name in schema.model_fields}, "parameters")
