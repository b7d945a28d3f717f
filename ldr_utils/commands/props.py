"""What a rehearsal plays with: shrunk models, a handful of rows, and the study's own parameters made to fit them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldr_utils.commands.model_files import translators_of
from ldr_utils.commands.shrink import NotHereError, shrink, small_files
from ldr_utils.commands.stand_ins import family_of, make_stand_in, make_translator
from ldr_utils.data.coverage import files_needed
from ldr_utils.data.downloads import (
    ALPACA_PROMPTS,
    ALPACA_REFERENCES,
    MGSM,
    MGSM_REV2,
    TRANSLATION_TASKS,
    ULTRAFEEDBACK,
    find,
)
from ldr_utils.data.sets import draw_sets
from ldr_utils.judges.reply import parse_label
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.scores.mt_bench import question_files, read_questions
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_jsonl, write_text
from ldr_utils.study.params import PER_RUN, StudyParams, validate
from ldr_utils.study.paths import from_root

OURS = "models/micro"  # small enough to play itself
ROWS = 2  # prompts of a set
TOKENS = 24  # of an answer: the shrunk models say a dozen
LENGTHS = ("max_new_tokens", "translation_max_new_tokens", "evaluation_max_new_tokens")
TRAINED = 1e-3  # the most that a learning rate is raised to, for two steps to leave a trace in bfloat16
SURE = 45.0  # logit of what a judge does not say: its label must stand out among 250,000 tokens
STAND_IN_JUDGE = "qwen3_instruct_2507"  # where the judge cannot be asked


@dataclass
class Props:
    """A study made small, and what was found out and replaced on the way.

    Attributes
    ----------
    study : StudyParams
        What is run in place of the study.
    model : Path or None
        All of the base model but its weights; None for a model that is itself small.
    breaks, made : dict of str to str
        By name: what would break, and what could not be tried with what the study names, and was made instead.
    real : dict of str to str
        By name: what is the study's own.
    """

    study: StudyParams
    model: Path | None = None
    breaks: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)

    def attempt(self, name: str, offline: bool, own: Callable[[], str], instead: Callable[[], str]) -> None:
        """Take the study's ``own`` thing; where that fails, play with another ``instead``.

        What only the network would have says nothing about the study where nothing may be asked of it.
        """
        excused = False
        try:
            self.real[name] = own()
            return
        except InputError as error:
            line, excused = str(error), offline and isinstance(error, NotHereError)
        except Exception as error:  # of a package that stumbles over the study's files
            line = f"{type(error).__name__}: {error}"
        played = instead()
        if excused:
            self.made[name] = played
        else:
            self.breaks[name] = line


@contextmanager
def offline_hub(offline: bool) -> Iterator[None]:
    """No word to the hub, where there is to be none."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def set_up(study: StudyParams, folder: Path, offline: bool, iterations: int) -> Props:
    """Make everything that a rehearsal needs, in ``folder``.

    Parameters
    ----------
    study : StudyParams
        The study.
    folder : Path
        An empty folder.
    offline : bool
        Whether nothing may be asked of the network.
    iterations : int
        How many at most.
    """
    props = Props(_small(study, iterations))
    with offline_hub(offline):
        if study.base_model != OURS:
            _set_model(props, study, folder, offline)
        for key, name in translators_of(study).items():
            _set_translator(props, study, key, name, folder, offline)
        _set_judges(props, study, folder, offline)
        _set_data(props, study, folder, offline)
    _set_questions(props, study, folder)
    return props


def _small(study: StudyParams, iterations: int) -> StudyParams:
    """The study with a handful of rows, short answers and two optimizer steps an iteration."""
    ours = study.base_model == OURS
    rows = 2 * ROWS if ours else ROWS
    pairs = rows * 2 * len(study.non_dominant)
    batch = min(study.train_batch_size, 2)
    most = {
        "iterations": iterations,
        "prompts_per_iteration": rows,
        "mgsm_problems": ROWS,
        "alpaca_prompts": ROWS,
        "batch_size": 4,
        "round_trip_sample": 1,
        "tax_problems": ROWS,
        "epochs": 1,
        "warmup_steps": 0,
        "save_steps": 2,
        "threads": 1,
        "train_batch_size": 2,
    }
    if not ours:  # ours is taken at its word: it needs all of its tokens
        most |= dict.fromkeys(LENGTHS, TOKENS)
    values = study.model_dump()
    changes: dict[str, Any] = {key: min(values[key], most[key]) for key in most if key in values}
    if study.learning_rate < TRAINED and not ours:
        changes["learning_rate"] = min(TRAINED, 200 * study.learning_rate)
    changes |= {"gradient_accumulation": max(1, pairs // batch // 2), "benchmarks": []}
    return changed(study, **changes)


def changed(study: StudyParams, **changes: Any) -> StudyParams:
    """The study with other values, validated as a params file is."""
    return validate(StudyParams, study.model_dump(exclude=PER_RUN) | changes, "rehearsal")


def _set_model(props: Props, study: StudyParams, folder: Path, offline: bool) -> None:
    small, whole = folder / "model", folder / "whole"

    def play(source: Path) -> str:
        said = shrink(source, small)
        props.model = source
        props.study = changed(props.study, base_model=str(small))
        return f"it says {''.join(said)!r}"

    def own() -> str:
        return f"{study.base_model}, shrunk; {play(small_files(study.base_model))}"

    def instead() -> str:
        name = family_of(study.base_model, "chatml")
        make_stand_in(whole, name, study.base_model)
        play(whole)
        return f"its files cannot be had; a stand-in with the tokens and the template of {name}"

    props.attempt("base model", offline, own, instead)


def _set_translator(props: Props, study: StudyParams, key: str, name: str, folder: Path, offline: bool) -> None:
    small, whole = folder / key, folder / f"whole-{key}"
    props.study = changed(props.study, **{key: str(small)})

    def own() -> str:
        shrink(small_files(name), small)
        return f"{name}, shrunk"

    def instead() -> str:
        if "nllb" in name.lower():
            make_translator(whole, study.languages)
        else:
            make_stand_in(whole, family_of(name, "chatml"), name)
        shrink(whole, small)
        return "its files cannot be had; a stand-in of its classes"

    props.attempt(key.replace("_", " "), offline, own, instead)


def _set_judges(props: Props, study: StudyParams, folder: Path, offline: bool) -> None:
    for prefix in ("", "second_"):
        kind, model = getattr(study, f"{prefix}judge"), getattr(study, f"{prefix}judge_model")
        if kind in ("rubric", "none"):
            continue
        small, whole = folder / f"{prefix}judge", folder / f"whole-{prefix}judge"
        name = f"{prefix}judge".replace("_", " ")
        props.study = changed(props.study, **{f"{prefix}judge": "local", f"{prefix}judge_model": str(small)})
        _budget_off(props)

        def own(model: str = model, small: Path = small) -> str:
            _shrink_judge(small_files(model), small)
            return f"{model}, shrunk"

        def instead(kind: str = kind, small: Path = small, whole: Path = whole, model: str = model) -> str:
            make_stand_in(whole, family_of(model, "chatml") if kind == "local" else STAND_IN_JUDGE)
            _shrink_judge(whole, small)
            return "a local stand-in judges in its place"

        if kind == "local":
            props.attempt(name, offline, own, instead)
        else:
            instead()


def _budget_off(props: Props) -> None:
    if props.study.judge_budget:
        props.study = changed(props.study, judge_budget=0.0)


def _shrink_judge(source: Path, target: Path) -> None:
    """A judge that replies A, or with a digit: the two kinds of labels that it is asked for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    labels = [_label_token(tokenizer, label, labels) for label, labels in (("A", "AB"), ("7", "0123456789"))]
    shrink(source, target, [labels, [tokenizer.eos_token_id]], SURE)


def _label_token(tokenizer: Any, label: str, labels: str) -> int:
    ids: list[int] = tokenizer(label, add_special_tokens=False).input_ids
    return next((k for k in ids if parse_label(tokenizer.decode([k]), tuple(labels)) == label), ids[-1])


def _set_data(props: Props, study: StudyParams, folder: Path, offline: bool) -> None:
    if study.source == "micro":
        return

    def own() -> str:
        if offline and not study.data_dir and not _all_cached(study):
            raise NotHereError("data: not in the cache, and nothing may be downloaded")
        draw_sets(props.study)
        draw_sets(study) if study.data_dir else files_needed(study)
        return f"rows of {study.data_dir}" if study.data_dir else "rows of the published files"

    def instead() -> str:
        make_data(folder / "data", props.study)
        props.study = changed(props.study, data_dir=str(folder / "data"))
        return "the published files cannot be had; rows made in their layout"

    props.attempt("data", offline, own, instead)


def _all_cached(study: StudyParams) -> bool:
    return all(find(*file).cached(file[1]) for file in files_needed(study))


def make_data(folder: Path, study: StudyParams) -> None:
    """Write rows in the layout of the published data, as many as a rehearsal needs, in every language."""
    total = ROWS * study.iterations
    for layout, lang in files_needed(changed(study, data_dir="")):
        path = folder / layout.format(lang=lang)
        path.parent.mkdir(parents=True, exist_ok=True)
        asked = [f"{k + 2} + {k + 3} = ? ({LANGUAGES[lang].name if lang in LANGUAGES else ''})" for k in range(total)]
        rows: list[Any]
        if layout == TRANSLATION_TASKS:
            write_text(path, json.dumps(["alpagasus-999"]))
            continue
        if layout == MGSM:
            rows = [{"query": text, "response": str(2 * k + 5)} for k, text in enumerate(asked)]
        elif layout == MGSM_REV2:
            write_text(path, "".join(f"{text}\t{2 * k + 5}\n" for k, text in enumerate(asked)))
            continue
        elif layout == ULTRAFEEDBACK:
            rows = [{"instruction_id": str(k), "instruction": f"Tell {text}"} for k, text in enumerate(asked)]
        elif layout == ALPACA_PROMPTS:
            rows = [{"id": k, "dataset": "made", "instruction": f"Say {text}"} for k, text in enumerate(asked)]
        elif layout == ALPACA_REFERENCES:
            rows = [{"instruction": f"Say {text}", "output": f"{2 * k + 5}."} for k, text in enumerate(asked)]
        elif layout.startswith("gsm8k"):
            rows = [
                {"id": f"gsm8k_{k}", "instruction": f"Solve {text}", "final_answer": str(2 * k + 5)}
                for k, text in enumerate(asked)
            ]
        else:
            first = 1000 * int(layout.split("iter")[1].split("/")[0])
            rows = [{"id": f"alpagasus-{first + k}", "instruction": f"Tell {text}"} for k, text in enumerate(asked)]
        if path.suffix == ".json":
            write_text(path, json.dumps(rows, ensure_ascii=False))
        else:
            write_jsonl(path, rows)


def _set_questions(props: Props, study: StudyParams, folder: Path) -> None:
    """The first question of MT-Bench in every language."""
    if not study.mt_bench_dir:
        return
    try:
        read_questions(study)
    except InputError as error:
        props.breaks["mt_bench"] = str(error)
        props.study = changed(props.study, mt_bench_dir="")
        return
    for lang, path in question_files(study).items():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        first = min(rows, key=lambda row: row["question_id"])
        (folder / "mt_bench").mkdir(exist_ok=True)
        write_jsonl(folder / "mt_bench" / f"{lang}.jsonl", [first])
    props.study = changed(props.study, mt_bench_dir=str(folder / "mt_bench"))
    props.real["mt_bench"] = f"one question of {from_root(study.mt_bench_dir)}"
