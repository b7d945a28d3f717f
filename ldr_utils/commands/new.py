"""``ldr new``: a params file by questions and answers, which says only in what it differs from a study of ours."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldr_utils.commands.hours import pairs_of
from ldr_utils.commands.questions import (
    OF_LANGUAGES,
    OF_WORK,
    RECORD,
    Answers,
    Question,
    checked_record,
    prompts_of,
    shipped,
    unknown,
)
from ldr_utils.commands.stamp import GROUPS, PLACES, as_yaml
from ldr_utils.data.coverage import check_languages
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import PER_RUN, JudgeParams, StudyParams, load_params, read_overrides, validate
from ldr_utils.study.paths import ROOT, shortest

BASES = ("micro.yaml", "llama3-8b.yaml")  # of params/: they extend nothing, so that others can extend them
WIDTH = 120
SOURCE = "ldr new"


def new(
    name: str,
    given: Mapping[str, str],
    records: list[str],
    overrides: list[str],
    folder: Path | None = None,
    *,
    ask: bool,
) -> str:
    """Write the params file of a study.

    Parameters
    ----------
    name : str
        Of the study, and of the file.
    given : mapping of str to str
        Answers that are known, by the key of their question.
    records : list of str
        ``CODE={name: ..., flores: ..., answer_phrases: [...]}`` for languages that the project does not know.
    overrides : list of str
        ``key=value`` for parameters that nothing is asked about.
    folder : Path, optional
        Where the file goes; ``params/`` without one.
    ask : bool
        Whether there is a person to ask for what is not given; otherwise defaults are taken, and named.

    Returns
    -------
    str
        What was written, and the commands that go on from there.

    Raises
    ------
    InputError
        For an answer that is none, a study that cannot be, and a file that is there already; nothing is written then.
    """
    validate(StudyParams, {"study": name}, SOURCE)
    folder = ROOT / "params" if folder is None else folder.resolve()
    path = folder / f"{name}.yaml"
    if path.exists():
        raise InputError(f"{shortest(path)}: is there already; choose another name")
    answers = gather(given, records, ask)
    values = values_of(name, answers) | read_overrides(overrides)
    study = validate(StudyParams, values, SOURCE)
    check_languages(study)
    _write(path, text_of(study, folder), study)
    shown = os.path.relpath(path)
    return f"{shown} is written. Go on with\n  ldr doctor {shown}\n  ldr run {shown}"


def gather(given: Mapping[str, str], records: list[str], ask: bool) -> Answers:
    """All answers, in the order of the questions."""
    own = read_overrides(records, "--record").items()
    answers: Answers = {"language_records": {lang: _given_record(lang, record) for lang, record in own}}
    _answer(OF_LANGUAGES, given, answers, ask)
    for lang in unknown(answers):
        answers["language_records"][lang] = _new_record(lang, ask)
    _answer(OF_WORK, given, answers, ask)
    return answers


def _answer(questions: tuple[Question, ...], given: Mapping[str, str], answers: Answers, ask: bool) -> None:
    for question in questions:
        if question.asked(answers):
            answers[question.key] = _settled(question, given.get(question.key), answers, ask)
        elif question.key in given:
            raise InputError(f"{question.flag}: has no meaning in this study; remove it")


def _settled(question: Question, given: str | None, answers: Answers, ask: bool) -> Any:
    """The answer to a question: the one given, a person's, or the default."""
    if given is not None:
        try:
            return question.read(given, answers)
        except InputError as error:
            raise InputError(f"{question.flag}: {error}") from None
    default = question.default(answers)
    if ask:
        return _asked(question, default, answers)
    if default is None:
        raise InputError(f"{question.flag}: is missing ({question.asks}); give it")
    print(f"{question.key}: {_shown(question, default)} (by default)")
    return default


def _asked(question: Question, default: Any, answers: Answers) -> Any:
    """What a person answers, who is asked again after an answer that is none."""
    offer = "" if default is None else f" [{_shown(question, default)}]"
    while True:
        try:
            said = input(f"{question.asks}{offer}: ").strip()
        except EOFError:
            raise InputError(f"{SOURCE}: the answers ended at {question.flag}; nothing is written") from None
        if not said and default is not None:
            return default
        try:
            if said:
                return question.read(said, answers)
        except InputError as error:
            print(f"  {error}")


def _shown(question: Question, value: Any) -> str:
    if question.key == "machine":
        return f"gpu-{value}" if value else "cpu"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _given_record(lang: str, record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise InputError(f"--record {lang}: write it like {lang}={{name: ..., flores: ..., answer_phrases: [...]}}")
    return checked_record(lang, record)


def _new_record(lang: str, ask: bool) -> dict[str, Any]:
    """The record of a language that nobody has told of."""
    if not ask:
        how = f"--record '{lang}={{name: ..., flores: ..., answer_phrases: [...]}}'"
        raise InputError(f"--languages: {lang} is not known here; tell of it with {how}")
    while True:
        print(f"{lang} is not known here:")
        try:
            return checked_record(lang, {part.key: _asked(part, part.default({}), {}) for part in RECORD})
        except InputError as error:
            print(f"  {error}")


def values_of(name: str, answers: Answers) -> dict[str, Any]:
    """All parameters of the study: those of the nearest one of ours, with what the answers change."""
    own = shipped(answers)
    keys = ("languages", "dominant", "unseen", "language_records", "iterations", "prompts_per_iteration")
    values = own.model_dump() | {key: answers[key] for key in keys} | prompts_of(answers["prompts"])
    values |= {"study": name, "base_model": answers["model"], "translate_prompts": answers.get("translate_prompts", "")}
    if answers["model"] != own.base_model:  # what was chosen for a model is not for another
        values |= {"system_prompt": "", "chat_template_kwargs": {}}
    values |= _judge(own, answers)
    values["warmup_steps"] = _warmup(own, values)
    return {key: value for key, value in values.items() if key not in PER_RUN}


def _judge(own: StudyParams, answers: Answers) -> dict[str, Any]:
    """Parameters of the judge; those of a judge of ours are kept where it is the one."""
    kind = {"rubric": "rubric"}.get(answers["judge"], "openai" if "judge_model" in answers else "local")
    url = answers["judge"] if kind == "openai" else ""
    model = {"rubric": "", "openai": answers.get("judge_model"), "local": answers["judge"]}[kind]
    chosen = {"judge": kind, "judge_model": model, "judge_url": url}
    if all(getattr(own, key) == value for key, value in chosen.items()):
        return {}
    return {key: JudgeParams.model_fields[key].default for key in ("judge_protocol", "judge_template_kwargs")} | chosen


def _warmup(own: StudyParams, values: dict[str, Any]) -> int:
    """As large a part of an iteration's steps as in the nearest study."""

    def steps(study: StudyParams) -> float:
        return study.epochs * pairs_of(study, MAIN) / (study.train_batch_size * study.gradient_accumulation)

    return max(1, round(own.warmup_steps * steps(own.model_copy(update=values)) / steps(own)))


def text_of(study: StudyParams, folder: Path) -> str:
    """The file: what differs from the nearest base, by group, every key with its help."""
    base = min(BASES, key=lambda name: len(_changed(study, ROOT / "params" / name)))
    changed = _changed(study, ROOT / "params" / base)
    extends = base if folder == ROOT / "params" else os.path.relpath(ROOT / "params" / base, folder)
    about = (
        f"Made by ldr new: {study.base_model} trained in {', '.join(study.languages)}. What is not said is as in "
        f"{base}; params/micro.yaml has all that can be said. Before you run: ldr doctor."
    )
    lines = [*textwrap.wrap(about, WIDTH, initial_indent="# ", subsequent_indent="# "), f"extends: {extends}"]
    for group in GROUPS:
        if own := [key for key in changed if PLACES[key] == group]:
            lines += ["", f"# {group}", *(line for key in own for line in _lines(key, changed[key]))]
    return "\n".join(lines) + "\n"


def _changed(study: StudyParams, base: Path) -> dict[str, Any]:
    """The parameters in which a study differs from a file, in the order of all."""
    other = load_params(base)
    differing = (key for key in PLACES if key not in PER_RUN and getattr(study, key) != getattr(other, key))
    return {key: getattr(study, key) for key in differing}


def _lines(key: str, value: Any) -> list[str]:
    """A parameter with its help: beside it, or above where that would be too long; a record has a line of its own."""
    remark = f"# {StudyParams.model_fields[key].description}"
    if key == "language_records" and value:
        return [f"{f'{key}:':<31} {remark}", *(f"  {lang}: {as_yaml(record)}" for lang, record in value.items())]
    line = f"{f'{key}: {as_yaml(value)}':<31} {remark}"
    return [line] if len(line) <= WIDTH else [remark, f"{key}: {as_yaml(value)}"]


def _write(path: Path, text: str, study: StudyParams) -> None:
    """Write a file that is not there yet, and keep it only if it says what it should."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{shortest(path)}: is there already; choose another name") from None
    try:
        assert load_params(path) == study, "the file does not say what was answered"
    except BaseException:
        path.unlink()
        raise
