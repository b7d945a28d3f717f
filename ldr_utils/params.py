"""Parameters: one flat schema, sliced by notebook, validated before any work starts and again in each notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ldr_utils.errors import InputError
from ldr_utils.languages import NAMES

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
P = TypeVar("P", bound="_Params")
Arm = Literal["lidr", "sft"]


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Common(_Params):
    """What every notebook needs to know."""

    study: str = Field(default="micro", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    run_dir: str = "runs/micro"
    seed: Count = 0
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

    source: Literal["micro", "published"] = "micro"
    data_dir: str = ""
    train_set: Literal["alpagasus", "gsm8k"] = "alpagasus"
    iterations: Positive = 2
    prompts_per_iteration: Positive = 200
    arithmetic_share: Share = 0.6
    mgsm_problems: Positive = 150
    alpaca_prompts: Positive = 100

    @model_validator(mode="after")
    def _keys_belong_to_the_source(self) -> Self:
        """A notebook is always given every key, so that only a value other than the default shows what was meant."""
        of_other = {"micro": ["data_dir", "train_set"], "published": ["arithmetic_share"]}[self.source]
        for key in of_other:
            if getattr(self, key) != DataParams.model_fields[key].default:
                raise ValueError(f"{key}: has no meaning with source: {self.source}; remove it or change source")
        return self


class ModelParams(Common):
    """Stages that load M_t."""

    t: Count = 0
    arm: Arm = "lidr"
    base_model: str = "models/micro"
    quantization: Literal["none", "nf4"] = "none"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Positive = 2


class DecodingParams(ModelParams):
    """Stages that generate (greedily, as the paper does)."""

    batch_size: Positive = 100
    max_new_tokens: Positive = 110
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    backend: Literal["auto", "transformers", "vllm"] = "auto"
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_model_len: Count = 0


class GenerationParams(DecodingParams):
    """02_generation."""


class TranslationParams(DecodingParams):
    """03_translation."""


class JudgeParams(Common):
    """Stages that judge; see ``ldr_utils.judging``."""

    judge: Literal["rubric", "local", "openai"] = "rubric"
    judge_model: str = ""
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


class PairsParams(JudgeParams):
    """04_pairs."""

    t: Count = 0
    english_pairs: Literal["all", "last"] = "all"


class TrainingParams(ModelParams):
    """05_qlora_dpo: from M_{t-1} to M_t."""

    t: Positive = 1
    beta: Annotated[float, Field(gt=0)] = 0.1
    alpha: Annotated[float, Field(ge=0)] = 1.0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    epochs: Positive = 1
    train_batch_size: Positive = 32
    gradient_accumulation: Positive = 1
    warmup_steps: Count = 4
    lora_r: Positive = 32
    lora_alpha: Positive = 64
    max_length: Positive = 320
    gradient_checkpointing: bool = False
    save_steps: Positive = 25

    @model_validator(mode="after")
    def _sft_needs_nll(self) -> Self:
        if self.arm == "sft":
            self._check_nll()
        return self

    def _check_nll(self) -> None:
        if self.alpha == 0:
            raise ValueError("alpha: the sft arm trains on the NLL term alone; set alpha above 0")


class AlpacaParams(DecodingParams, JudgeParams):
    """06_x_alpacaeval."""


class MgsmParams(DecodingParams):
    """07_mgsm."""


class ReportParams(Common):
    """08_report."""

    iterations: Positive = 2
    arms: list[Arm] = ["lidr", "sft"]


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
    "05_qlora_dpo": TrainingParams,
    "06_x_alpacaeval": AlpacaParams,
    "07_mgsm": MgsmParams,
    "08_report": ReportParams,
}
PER_RUN = {"t", "arm", "run_dir"}  # set by the driver, not by a params file


class StudyParams(DataParams, GenerationParams, TrainingParams, AlpacaParams, ReportParams, PairsParams):
    """Everything a params file may say; ``t`` and ``arm`` are set by the driver for every stage."""

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if "lidr" not in self.arms:
            raise ValueError("arms: the main arm lidr is missing; add it")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("arms: an arm is listed twice; list each once")
        if "sft" in self.arms:
            self._check_nll()
        if self.judge == "rubric" and self.source != "micro":
            raise ValueError(f"judge: the rubric knows the micro world only, not source: {self.source}; choose another")
        return self

    def for_notebook(self, name: str) -> dict[str, Any]:
        """The parameters that notebook ``name`` takes from the study (without those the driver sets per run)."""
        fields = set(NOTEBOOKS[name].model_fields) - PER_RUN
        return {key: value for key, value in self.model_dump().items() if key in fields}


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
            values[key] = _number(yaml.safe_load(text))
        except yaml.YAMLError:
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
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}; correct the value"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; choose one from params/") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a params file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as YAML ({line}); correct it") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold key: value lines; see params/micro.yaml")
    return {str(key): _number(value) for key, value in values.items()}


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
