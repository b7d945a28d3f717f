"""Parameters: one flat schema, sliced by notebook, validated before any work starts and again in each notebook."""

from __future__ import annotations

import re
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, Self, TypeVar

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

from ldr_utils.languages.table import NAMES
from ldr_utils.study.arms import ARMS
from ldr_utils.study.errors import InputError

Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Rows = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, le=4_000_000)]  # training takes 1000 * seed + t, NumPy only what is below 2**32
Share = Annotated[float, Field(ge=0, le=1)]
Source = Literal["micro", "published"]
P = TypeVar("P", bound="_Params")


def _known_arm(name: str, info: ValidationInfo) -> str:
    if name not in ARMS:
        raise ValueError(f"{info.field_name}: {name!r} is not known; choose from {', '.join(ARMS)}")
    return name


def _usable(text: str, info: ValidationInfo) -> str:
    if not text.isprintable() or len(text) > 1000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError(f"{info.field_name}: has control characters or is too long for a path or name; correct it")
    return text


ArmName = Annotated[str, AfterValidator(_known_arm)]
PathText = Annotated[str, AfterValidator(_usable)]  # a path or the name of a model; mostly it may be empty
SECRETIVE = {"judge_url", "judge_key_env"}  # where a key could have been written: no message repeats the value
SHORT = Repr()  # YAML aliases can make a value that is too large to show
SHORT.maxlevel, SHORT.maxstring = 2, 80


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Common(_Params):
    """What every notebook needs to know."""

    study: str = Field(default="micro", pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)
    run_dir: str = "runs/micro"
    seed: Seed = 11
    dominant: str = "en"
    languages: list[str] = ["en", "es", "ru", "de", "fr"]
    unseen: list[str] = ["it", "sw"]

    @property
    def all_languages(self) -> list[str]:
        return [*self.languages, *self.unseen]

    @property
    def non_dominant(self) -> list[str]:
        return [lang for lang in self.languages if lang != self.dominant]

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        for lang in self.all_languages:
            if lang not in NAMES:
                raise ValueError(f"languages: {lang!r} is not known; choose from {', '.join(sorted(NAMES))}")
        if len(set(self.all_languages)) != len(self.all_languages):
            raise ValueError("languages, unseen: a language is listed twice; list each once")
        if self.dominant not in self.languages:
            raise ValueError(f"dominant: {self.dominant!r} is not among languages; add it or choose another")
        if len(self.languages) < 2:
            raise ValueError("languages: no non-dominant language is left; list at least one besides the dominant")
        return self


class DataParams(Common):
    """01_data."""

    source: Source = "micro"
    data_dir: PathText = ""
    train_set: Literal["alpagasus", "gsm8k"] = "alpagasus"
    iterations: Positive = 2
    prompts_per_iteration: Rows = 200
    arithmetic_share: Share = 0.6
    mgsm_problems: Rows = 150
    alpaca_prompts: Rows = 100

    @model_validator(mode="after")
    def _keys_belong_to_the_source(self) -> Self:
        """A notebook is always given every key, so that only a value other than the default shows what was meant."""
        of_other = {"micro": ["data_dir", "train_set"], "published": ["arithmetic_share"]}[self.source]
        for key in of_other:
            if getattr(self, key) != DataParams.model_fields[key].default:
                raise ValueError(f"{key}: has no meaning with source: {self.source}; remove it or change source")
        return self


class ArmParams(Common):
    """Stages of one model M_t of one arm."""

    t: Count = 0
    arm: ArmName = "lidr"

    @model_validator(mode="after")
    def _are_those_of_the_arm(self) -> Self:
        """The driver sees to it; a notebook run by hand could mix two arms."""
        for key, value in ARMS[self.arm].overrides.items():
            if key in type(self).model_fields and getattr(self, key) != value:
                raise ValueError(f"{key}: the arm {self.arm} means {value!r}; set it so, or choose another arm")
        return self


class ModelParams(ArmParams):
    """Stages that load M_t."""

    base_model: PathText = "models/micro"
    quantization: Literal["none", "nf4"] = "none"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Positive = 2


class BatchParams(ModelParams):
    """Stages that put prompts to M_t in batches."""

    batch_size: Positive = 100


class DecodingParams(BatchParams):
    """Stages that generate (greedily, as the paper does)."""

    max_new_tokens: Positive = 110
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    backend: Literal["auto", "transformers", "vllm"] = "auto"
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_model_len: Count = 0


class GenerationParams(DecodingParams):
    """02_generation."""


class TranslationParams(DecodingParams):
    """03_translation: ``translator`` is M_t itself, or the folder or hub name of another model."""

    translator: Annotated[str, Field(min_length=1), AfterValidator(_usable)] = "self"
    round_trip_sample: Count = 50


class JudgeParams(Common):
    """Stages that judge; see ``ldr_utils.judges.verdicts``."""

    judge: Literal["rubric", "local", "openai"] = "rubric"
    judge_model: PathText = ""
    judge_url: str = ""
    judge_key_env: str = "JUDGE_API_KEY"
    judge_concurrency: Positive = 8
    judge_batch_size: Positive = 8
    judge_price_in: Annotated[float, Field(ge=0)] = 0.0
    judge_price_out: Annotated[float, Field(ge=0)] = 0.0
    judge_budget: Annotated[float, Field(ge=0)] = 0.0

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
        if self.judge != "rubric" and not self.judge_model:
            raise ValueError(f"judge_model: the {self.judge} judge needs one; name a model")
        if self.judge_budget and not self.judge_price_in + self.judge_price_out:
            raise ValueError("judge_budget: needs the judge's prices; set judge_price_in and judge_price_out")
        return self


class OwnPairsParams(ArmParams):
    """Stages of the pairs of an arm: M0 has pairs of its own for those arms that select them, and for the main one."""

    @model_validator(mode="after")
    def _arm_has_pairs_of_its_own(self) -> Self:
        if self.t == 0 and self.arm != "lidr" and not ARMS[self.arm].pairs:
            raise ValueError(f"arm: {self.arm} is trained on M0's pairs of lidr; set arm to lidr")
        return self


class PairsParams(OwnPairsParams):
    """04_pairs."""

    english_pairs: Literal["all", "last"] = "all"
    pair_languages: Literal["all", "non_dominant", "dominant"] = "all"
    equal_pairs: Literal["keep", "drop"] = "keep"


class PremiseParams(OwnPairsParams, JudgeParams):
    """04b_premise."""


class TrainingParams(ModelParams):
    """05_qlora_dpo: from M_{t-1} to M_t."""

    t: Positive = 1
    objective: Literal["dpo_nll", "nll"] = "dpo_nll"
    beta: Annotated[float, Field(gt=0)] = 0.1
    alpha: Annotated[float, Field(ge=0)] = 4.0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    epochs: Positive = 1
    train_batch_size: Positive = 16
    gradient_accumulation: Positive = 1
    warmup_steps: Count = 4
    lora_r: Positive = 32
    lora_alpha: Positive = 64
    max_length: Positive = 320
    gradient_checkpointing: bool = False
    save_steps: Positive = 25

    @model_validator(mode="after")
    def _nll_has_weight(self) -> Self:
        if self.objective == "nll" and self.alpha == 0:
            raise ValueError("alpha: the objective nll has no other term; set alpha above 0")
        return self


class AlpacaParams(ArmParams, JudgeParams):
    """06_x_alpacaeval; a second judge, if there is one, shares the first one's endpoint, key and budget."""

    second_judge: Literal["none", "rubric", "local", "openai"] = "none"
    second_judge_model: PathText = ""

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

    tax_problems: Annotated[int, Field(ge=2)] = 40


BenchmarkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # a name, never a path


class BenchmarksParams(BatchParams):
    """07c_benchmarks."""

    benchmarks: list[BenchmarkName] = []


class MtBenchQuestions(Common):
    """Stages that read MT-Bench's questions."""

    mt_bench_dir: PathText = ""


class AnswersParams(DecodingParams, MtBenchQuestions):
    """05b_answers: M_t answers every test set of the study."""


class MtBenchParams(ArmParams, JudgeParams, MtBenchQuestions):
    """07d_mt_bench."""

    @model_validator(mode="after")
    def _mt_bench_has_a_judge(self) -> Self:
        if self.mt_bench_dir and self.judge == "rubric":
            raise ValueError("judge: the rubric cannot score MT-Bench; choose local or openai, or empty mt_bench_dir")
        return self


class ReportParams(Common):
    """08_report."""

    iterations: Positive = 2
    arms: list[ArmName] = ["lidr", "sft"]


class PretrainingParams(_Params):
    """00_base_model: run once by the maintainers, outside of a study."""

    model_dir: str = "models/micro"
    work_dir: str = "runs/base_model"
    seed: Count = 0
    steps: Positive = 6000
    rows: Positive = 16
    row_tokens: Positive = 256
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    share_dominant: Share = 0.42
    share_others: Share = 0.08
    vocab_size: Positive = 2048
    hidden_size: Positive = 192
    layers: Positive = 4
    heads: Positive = 3
    intermediate_size: Positive = 512
    threads: Positive = 2
    problems: Positive = 150


NOTEBOOKS: dict[str, type[_Params]] = {
    "00_base_model": PretrainingParams,
    "01_data": DataParams,
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
PER_RUN = {"t", "arm", "run_dir"}  # set by the driver, not by a params file


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
        if "lidr" not in self.arms:
            raise ValueError("arms: the main arm lidr is missing; add it")
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

    def for_notebook(self, name: str, arm: str = "lidr") -> dict[str, Any]:
        """The parameters that notebook ``name`` is given for an arm (without those the driver sets per run)."""
        fields = set(NOTEBOOKS[name].model_fields) - PER_RUN
        return {key: value for key, value in self.for_arm(arm).items() if key in fields}


def load_params(path: Path, overrides: list[str] | None = None) -> StudyParams:
    """Read and validate a params file.

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
    values = _read_yaml(path)
    for override in overrides or []:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: write it as key=value")
        try:
            values[key] = _number(_parse_yaml(text))
        except ValueError:
            raise InputError(f"--set {override}: the value is not readable as YAML; correct it") from None
    for key in PER_RUN & values.keys():
        raise InputError(f"{path}: {key}: is set by the driver (use --out for the run folder); remove it")
    return validate(StudyParams, values, str(path))


def validate(schema: type[P], values: dict[str, Any], source: str) -> P:
    """Build ``schema`` from ``values``; the first problem becomes one line that starts with ``source``."""
    try:
        return schema(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{source}: {_explain(first)}") from None


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its spelling"
    if error["type"] == "value_error":  # raised by our own validators, which name key and remedy themselves
        return str(error["ctx"]["error"])
    given = "" if key.partition(".")[0] in SECRETIVE else f", not {SHORT.repr(error['input'])}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{given}; correct the value"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = _parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; choose one from params/") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a params file") from None
    except ValueError as error:  # of the encoding, too
        raise InputError(f"{path}: not readable as YAML ({error}); correct it") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold key: value lines; see params/micro.yaml")
    return {str(key): _number(value) for key, value in values.items()}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for k, key in enumerate(keys) if key in keys[:k]), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str) -> Any:
    """YAML from a file that may hold anything.

    Raises
    ------
    ValueError
        When it cannot be read: one line. The constructors of PyYAML raise whatever they stumble over (a date without a
        31st, ``!!bool x``, a thousand brackets).
    """
    try:
        return yaml.load(text, _Loader)
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def _number(value: Any) -> Any:
    """YAML 1.1 reads 5e-4 as text; read it as the number that was meant."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?[eE][-+]?\d+", value):
        return float(value)
    return value


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


def machine_params(schema: type[BaseModel]) -> set[str]:
    """interim"""
    return {
        "run_dir", "mt_bench_dir", "threads", "gpu_memory", "judge_concurrency", "judge_key_env", "judge_price_in",
        "judge_price_out", "judge_budget",
    } & set(schema.model_fields)  # fmt: skip


def kept_params(schema: type[BaseModel]) -> set[str]:
    """interim"""
    out = {"study", "dominant", "languages", "unseen", "iterations", "arms", "round_trip_sample", "benchmarks"}
    out |= {"tax_problems"}
    return {n for n in schema.model_fields if n not in out and "judge" not in n} - machine_params(schema)
