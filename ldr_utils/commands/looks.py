"""What a rehearsal looks at beside the stages: inputs one by one, weights, room for answers, and what came out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ldr_utils.commands.chats import check_chat
from ldr_utils.commands.model_files import translators_of
from ldr_utils.commands.preflight import check_model
from ldr_utils.data.coverage import check_languages
from ldr_utils.judges.endpoint import read_key
from ldr_utils.judges.open import make_judge
from ldr_utils.judges.verdicts import Case
from ldr_utils.method.translation import parse_translation
from ldr_utils.policy.backends import NO_GPU, choose_backend, vllm_is_installed
from ldr_utils.policy.chat import Settings
from ldr_utils.policy.load import RECIPES, load_chat
from ldr_utils.policy.prompts import translation_prompt
from ldr_utils.scores.benchmarks import open_tasks
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import StudyParams
from ldr_utils.study.records import Asked
from ldr_utils.study.text import one_line

Outcome = Literal["holds", "to mind", "would break", "not tried"]
OUTCOMES: tuple[Outcome, ...] = ("holds", "not tried", "to mind", "would break")  # from good to bad
WEIGHT_SECONDS = 60.0  # for reading the weights through; a large model on a slow disk is read in part


@dataclass(frozen=True)
class Row:
    """One line of the table: what was tried, what came of it, and why."""

    name: str
    outcome: Outcome
    detail: str


def tried(name: str, look: Callable[[], str]) -> Row:
    """A look as a row: what it says where it holds, its one line where it would break."""
    try:
        return Row(name, "holds", look())
    except InputError as error:
        return Row(name, "would break", one_line(str(error)))
    except Exception as error:  # a fault of ours, or of a package: a finding all the same
        return Row(name, "would break", one_line(f"{type(error).__name__}: {error}"))


def look_at_inputs(study: StudyParams, offline: bool) -> Iterator[Row]:
    """What the study names, each by itself, so that one fault hides no other; nothing is downloaded."""
    models = {"base model": ("base_model", "base model")}
    models |= {key.replace("_", " "): (key, "translator") for key in translators_of(study)}
    if study.judge == "local":
        models["judge"] = ("judge_model", "base model")
    if study.second_judge == "local":
        models["second judge"] = ("second_judge_model", "base model")
    for name, (key, role) in models.items():
        if offline and getattr(study, key) in RECIPES:  # made with the network's help
            continue
        row = tried(name, lambda key=key, role=role: _named(key, getattr(study, key), role))  # type: ignore[misc]
        if row.outcome == "would break":
            yield row
    if "openai" in (study.judge, study.second_judge) and not offline:
        yield tried("judge key", lambda: read_key(study) and f"{study.judge_key_env} is set")
    yield tried("backend", lambda: choose_backend(study, vllm_is_installed(), NO_GPU).reason)
    yield tried("languages", lambda: "; ".join(f"{k} in {', '.join(v)}" for k, v in check_languages(study).items()))
    if study.benchmarks:
        yield tried("benchmarks", lambda: f"{len(open_tasks(study.benchmarks).all_tasks):,} tasks, these among them")


def _named(key: str, name: str, role: Literal["base model", "translator"]) -> str:
    check_model(key, name, role)
    return name


def look_at_weights(folder: Path, tokens: int) -> str:
    """Read a model's weights through: every number is finite, and there is an embedding for every token.

    Raises
    ------
    InputError
        When one is not, with the name of the tensor.
    """
    import torch
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    started, seen = time.monotonic(), 0
    for file in files:
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no dict)
                if time.monotonic() - started > WEIGHT_SECONDS:
                    return f"the first {seen} tensors are finite; the rest was not read within {WEIGHT_SECONDS:.0f} s"
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise InputError(f"base_model: {file}: {name} holds numbers that are not finite; get it again")
                if name.endswith("embed_tokens.weight") and tensor.shape[0] < tokens:
                    has = f"has {tensor.shape[0]:,} rows for {tokens:,} tokens"
                    raise InputError(f"base_model: {file}: {name} {has}; give the tokenizer that belongs to it")
                seen += 1
    return f"{seen} tensors, every number finite" if files else ""


def look_at_template(study: StudyParams, source: Path) -> str:
    """Whether the model can be spoken to as its chat template says (see ``policy.chat``).

    Raises
    ------
    InputError
        When it cannot, with the remedy.
    """
    return f"texts arrive whole, {check_chat(study, 'base_model', study.base_model, source)}"


def look_at_room(study: StudyParams, source: Path, data: Path) -> Row:
    """Whether the longest prompt and an answer of full length fit the model's positions.

    Parameters
    ----------
    study : StudyParams
        The study, at full length.
    source : Path
        Its base model's config and tokenizer.
    data : Path
        The rehearsal's prompts, by set and language.
    """
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    limit = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    if study.max_model_len and study.backend != "transformers":
        limit = min(study.max_model_len, limit or study.max_model_len)
    if not limit:
        return Row("room for answers", "not tried", "the config names no number of positions")
    chat = load_chat(str(source), settings=Settings.of(study))
    texts = [row["prompt"] for path in sorted(data.glob("*/*.jsonl")) for row in read_jsonl(path)]
    asked = max((len(chat.prompt_ids([{"role": "user", "content": text}])) for text in texts), default=0)
    around = len(chat.prompt_ids([{"role": "user", "content": translation_prompt("", "English")}]))
    answer = asked + study.max_new_tokens
    translation = around + study.max_new_tokens + study.translation_max_new_tokens
    key = "max_model_len" if study.max_model_len == limit else "max_new_tokens"
    remedy = f"lower max_new_tokens to {limit - asked:,}" if key == "max_new_tokens" else "raise max_model_len"
    if answer > limit:
        said = f"{key}: a prompt of {asked:,} and an answer of {study.max_new_tokens:,} tokens"
        return Row("room for answers", "would break", f"{said} take more than the {limit:,} positions; {remedy}")
    if translation > limit:
        said = f"an answer and its translation can take {translation:,} tokens, there are {limit:,} positions"
        return Row("room for answers", "to mind", f"{said}; the longest translations would be cut")
    return Row("room for answers", "holds", f"{max(answer, translation):,} of {limit:,} positions")


def ask_the_judge(study: StudyParams, folder: Path) -> str:
    """Put one question to the study's own endpoint.

    Raises
    ------
    InputError
        When there is no verdict, with what the server says.
    """
    own = study.model_copy(update={"run_dir": str(folder), "judge_concurrency": 1})
    question: Asked = {"id": "rehearsal", "lang": study.dominant, "prompt": "What is 9 + 9?"}
    (verdict,) = make_judge(own, study.all_languages).prefer([Case(question, "9 + 9 = 18.", "I do not know.")])
    if verdict.status != "ok":
        raise InputError(f"judge_model: {study.judge_model} gave no verdict ({verdict.status}); choose another model")
    return f"{study.judge_model} prefers the right answer with {verdict.preference:.2f}"


def look_at_answers(root: Path) -> Iterator[Row]:
    """Whether answers ended by themselves, translations closed their tag, and training moved the adapter."""
    answers = [row for path in root.glob("**/responses/*.jsonl") for row in read_jsonl(path)]
    answers += [row for path in root.glob("**/answers/*/*.jsonl") for row in read_jsonl(path)]
    if answers:
        ended = sum(row["finished"] for row in answers)
        said = f"{ended} of {len(answers)} answers ended by themselves"
        remedy = "the end of turn that the chat template writes stops nothing: see generation_config.json"
        yield Row("end of turn", "holds", said) if ended else Row("end of turn", "would break", f"{said}; {remedy}")
    replies = [row for path in root.glob("**/translations/*.jsonl") for row in read_jsonl(path)]
    if replies:
        closed = sum(parse_translation(row["response"]).text is not None for row in replies)
        said = f"{closed} of {len(replies)} translations closed their tag"
        yield Row("translations", "holds" if closed else "would break", said)
    adapters = sorted(root.glob("**/adapter/adapter_model.safetensors"))
    if adapters:
        yield tried("adapter", lambda: _moved(adapters))


def _moved(adapters: list[Path]) -> str:
    from safetensors.torch import load_file

    for path in adapters:
        tensors = load_file(path)
        moved = [name for name, tensor in tensors.items() if "lora_B" in name and bool(tensor.any())]
        if not moved:
            raise InputError(f"learning_rate: training left {path.parent.parent.name}'s adapter as it was; raise it")
    return f"training moved all {len(adapters)} of them"


def merged(rows: list[Row], row: Row) -> list[Row]:
    """``rows`` with one more; of two with one name the worse stands, and two that were not tried become one."""
    row = replace(row, detail=one_line(row.detail))
    twin = next((own for own in rows if own.name == row.name), None)
    if twin is None:
        return [*rows, row]
    if twin.outcome == row.outcome == "not tried":
        row = replace(row, detail=f"{row.detail}; {twin.detail}")
    kept = max(row, twin, key=lambda own: (OUTCOMES.index(own.outcome), own is row))
    return [kept if own is twin else own for own in rows]
