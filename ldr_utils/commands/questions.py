"""What ``ldr new`` asks: every question with its flag, the default that follows from what is known, and its reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldr_utils.languages.table import BUILT_IN, CODE, FLORES, record_of
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DataParams, StudyParams, load_params, validate
from ldr_utils.study.paths import ROOT, shortest

OURS = "models/micro"
SHIPPED = {0: "smollm2-cpu", 1: "colab-t4", 20: "single-gpu-24gb", 70: "llama3-8b"}  # by GB of a GPU that they need
Answers = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    key : str
        Names the answer, and the flag that gives it.
    asks : str
        The question, and the help of the flag.
    read : function of (text, Answers)
        The answer that a text means; raises InputError.
    default : function of Answers
        The answer where none is given; None where there can be none.
    asked : function of Answers
        Whether there is anything to ask.
    """

    key: str
    asks: str
    read: Callable[[str, Answers], Any]
    default: Callable[[Answers], Any]
    asked: Callable[[Answers], bool] = lambda answers: True

    @property
    def flag(self) -> str:
        return f"--{self.key.replace('_', '-')}"


def shipped(answers: Answers) -> StudyParams:
    """The study of ours for such a model on such a machine: what a study takes from where nothing is said."""
    nearest = SHIPPED[max(least for least in SHIPPED if least <= answers["machine"])]
    return load_params(ROOT / "params" / f"{'micro' if answers['model'] == OURS else nearest}.yaml")


def data_of(answers: Answers) -> DataParams:
    """The data that a study of these answers asks for."""
    own = {key: answers[key] for key in ("languages", "dominant", "unseen", "language_records")}
    return validate(DataParams, own | {"iterations": 1} | prompts_of(answers["prompts"]), "ldr new")


def prompts_of(prompts: str) -> dict[str, str]:
    """The parameters that stand for an answer to what to train on."""
    return {"source": "micro"} if prompts == "micro" else {"source": "published", "train_set": prompts}


def lacking(answers: Answers) -> list[str]:
    """Languages to train on that have no prompts."""
    from ldr_utils.data.coverage import languages_lacking_prompts

    return languages_lacking_prompts(data_of(answers))


def _model(text: str, answers: Answers) -> str:
    """A model's folder, as seen from here or from the repository, or its name on the hub."""
    from ldr_utils.policy.load import missing_folder

    if Path(text).is_dir():
        return shortest(Path(text).resolve())
    if trouble := missing_folder(text):
        raise InputError(trouble)
    return text


def _machine(text: str, answers: Answers) -> int:
    found = re.fullmatch(r"cpu|(?:gpu-)?([1-9]\d{0,3})(?:gb)?", text.lower())
    if not found:
        raise InputError(f"{text} is no machine; write cpu, or gpu-24 for a GPU of 24 GB")
    return int(found[1] or 0)


def _machine_here(answers: Answers) -> int:
    """GB of the GPU that torch reaches, 0 without; the micro model needs none."""
    from ldr_utils.commands.device import GIB, probe

    if answers["model"] == OURS:
        return 0
    device = probe("auto")
    return round(device.total / GIB) if device.gpu else 0


def _codes(text: str, answers: Answers) -> list[str]:
    found = [code for code in re.split(r"[\s,\[\]]+", text) if code]
    if bad := [code for code in found if not CODE.fullmatch(code)]:
        raise InputError(f"{bad[0]} is no code of a language; write them like en,pt,nl")
    return found


def _languages(text: str, answers: Answers) -> list[str]:
    found = list(dict.fromkeys(_codes(text, answers)))
    if len(found) < 2:
        raise InputError("one language has no other to learn from; list at least two")
    return found


def _unseen(text: str, answers: Answers) -> list[str]:
    found = list(dict.fromkeys(_codes(text, answers)))
    if trained := [lang for lang in found if lang in answers["languages"]]:
        raise InputError(f"{trained[0]} is trained on; leave it out")
    return found


def _language(text: str, answers: Answers) -> str:
    if text not in answers["languages"]:
        raise InputError(f"{text} is not among the languages; choose from {', '.join(answers['languages'])}")
    return text


def _prompts(text: str, answers: Answers) -> str:
    from ldr_utils.data.train_sets import TRAIN_SETS

    if text in ("micro", *TRAIN_SETS):
        return text
    if not Path(text).is_dir():
        raise InputError(f"{text} is no folder; give one, or choose from micro, {', '.join(TRAIN_SETS)}")
    return shortest(Path(text).resolve())


def _translator(text: str, answers: Answers) -> str:
    return text if text == "self" else _model(text, answers)


def _judge(text: str, answers: Answers) -> str:
    return text if text == "rubric" or text.startswith(("http://", "https://")) else _model(text, answers)


def _judge_here(answers: Answers) -> str:
    """The rubric in the micro world, otherwise what the nearest study has: a server's, or the model itself."""
    own = shipped(answers)
    if answers["prompts"] == "micro":
        return "rubric"
    return own.judge_url if own.judge == "openai" else str(answers["model"])


def _number(text: str, answers: Answers) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise InputError(f"{text} is no number of them; write it like 2")
    return int(text)


def _as_given(text: str, answers: Answers) -> str:
    return text


OF_LANGUAGES = (
    Question("model", "model to improve: a folder or a hub name (owner/name)", _model, lambda answers: OURS),
    Question("machine", "machine: cpu, or gpu-24 for one GPU of 24 GB", _machine, _machine_here),
    Question("languages", "languages to train on, by code", _languages, lambda answers: shipped(answers).languages),
    Question(
        "dominant",
        "the one among them whose answers are trusted",
        _language,
        lambda answers: "en" if "en" in answers["languages"] else answers["languages"][0],
    ),
    Question(
        "unseen",
        "languages to evaluate only",
        _unseen,
        lambda answers: shipped(answers).unseen if answers["languages"] == shipped(answers).languages else [],
    ),
)
OF_WORK = (
    Question(
        "prompts",
        "prompts: micro, alpagasus, gsm8k, ultrafeedback, or a folder of your own",
        _prompts,
        lambda answers: "micro" if answers["model"] == OURS else "alpagasus",
    ),
    Question(
        "translate_prompts",
        "who translates prompts for languages without: self (the model), or another model",
        _translator,
        lambda answers: "self",
        lambda answers: bool(lacking(answers)),
    ),
    Question("judge", "judge: rubric (micro prompts), a model to load, or an endpoint (http...)", _judge, _judge_here),
    Question(
        "judge_model",
        "the model's name at that endpoint",
        _as_given,
        lambda answers: shipped(answers).judge_model if shipped(answers).judge == "openai" else None,
        lambda answers: answers["judge"].startswith("http"),
    ),
    Question("iterations", "iterations", _number, lambda answers: shipped(answers).iterations),
    Question(
        "prompts_per_iteration",
        "prompts an iteration",
        _number,
        lambda answers: shipped(answers).prompts_per_iteration,
    ),
)
QUESTIONS = (*OF_LANGUAGES, *OF_WORK)


# A language that the project does not know: the parts of its record (see `languages.table.Language`)


def _phrases(text: str, answers: Answers) -> list[str]:
    return [phrase.strip() for phrase in text.split(",") if phrase.strip()]


def _yes(text: str, answers: Answers) -> bool:
    if text.lower() not in ("yes", "y", "no", "n"):
        raise InputError(f"{text} is neither yes nor no")
    return text.lower().startswith("y")


def _flores(text: str, answers: Answers) -> str:
    if not FLORES.fullmatch(text):
        raise InputError(f"{text} is no FLORES-200 code; write it like por_Latn")
    return text


RECORD = (
    Question("name", "its name in English", _as_given, lambda answers: None),
    Question("flores", "its FLORES-200 code, such as por_Latn", _flores, lambda answers: None),
    Question(
        "answer_phrases",
        "what introduces a result, such as: A resposta é, Resposta:",
        _phrases,
        lambda answers: None,
    ),
    Question("decimal_comma", "a comma before decimals (yes or no)", _yes, lambda answers: False),
    Question("spaced", "spaces between words (yes or no)", _yes, lambda answers: True),
)


def unknown(answers: Answers) -> list[str]:
    """Languages of a study of which neither the project nor the study knows anything."""
    named = [*answers["languages"], *answers["unseen"]]
    return [lang for lang in named if lang not in {*BUILT_IN, *answers["language_records"]}]


def checked_record(lang: str, record: dict[str, Any]) -> dict[str, Any]:
    """A language's record, once it is known to be one; parts that are as they are anyway are left out.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        record_of(lang, record)
    except ValueError as error:
        raise InputError(f"language_records: {error}") from None
    usual = {"decimal_comma": False, "spaced": True}
    return {key: value for key, value in record.items() if usual.get(key) != value}
