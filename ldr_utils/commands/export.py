"""A trained model out of its run folder: in one piece, with a card, checked against what it answered in the study."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ldr_utils.commands import hub
from ldr_utils.commands.device import disk_of
from ldr_utils.commands.model_card import model_card
from ldr_utils.commands.model_files import find_model
from ldr_utils.commands.preflight import check_empty
from ldr_utils.commands.run_model import RunModel, check_finished, find
from ldr_utils.data.sets import read_answers
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.policy.backends import open_generator, settle_backend
from ldr_utils.policy.generate import answer
from ldr_utils.policy.merge import merge
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_jsonl, write_text
from ldr_utils.study.params import AnswersParams
from ldr_utils.study.paths import from_root
from ldr_utils.study.progress import as_in_a_batch_run, say
from ldr_utils.study.records import Record, Response
from ldr_utils.study.stages import place

MISMATCHES = "mismatches.jsonl"
SHOWN = ("answers", *TEST_SETS)  # the stages whose work the card and the check are about
MARGIN = 2**26  # bytes beside the weights: tokenizer, card, the answers of the check


@dataclass(frozen=True)
class Checked:
    """How the model in one piece answers, beside the study's model with its adapter.

    Attributes
    ----------
    asked, same : int
        Prompts, and answers that are the study's to the last character.
    alike : float
        Mean share of the study's answer before the first character that differs.
    as_base : int
        Answers that are M_0's, where the study's model answered otherwise.
    mismatches : list of Record
        Prompts with both answers.
    """

    asked: int
    same: int
    alike: float
    as_base: int
    mismatches: list[Record]

    def __str__(self) -> str:
        share = (
            f"{self.same} of {self.asked} answers ({self.same / self.asked:.1%}) are the study's to the last character"
        )
        if not self.mismatches:
            return share
        return f"{share}; on average the first {self.alike:.1%} of an answer agrees. The others: {MISMATCHES}"


def export(folder: Path, model: str, arm: str = MAIN, out: Path = Path(), prompts: int = 20, push: str = "") -> str:
    """Write M_t as a model of its own, which loads without this package and without its adapter.

    Parameters
    ----------
    folder : Path
        A run folder.
    model, arm : str
        Its name there, such as ``M2``.
    out : Path
        A folder that is empty or not there; it appears in one step, when all is done.
    prompts : int
        Prompts a language and test set, by whose answers the model is checked.
    push : str
        ``OWNER/NAME`` on the hub to upload it to, privately; the token is that of ``hf auth login`` or ``HF_TOKEN``.

    Returns
    -------
    str
        What was written, and how its answers compare with the study's.

    Raises
    ------
    InputError
        When the run lacks the model, the folder is not empty, the disk is too small, the hub knows no such user, or the
        merged model answers as the base model does.
    """
    own = find(folder, model, arm)
    if own.t == 0:
        raise InputError(f"--model M0: is the base model {own.study.base_model} itself; export a later one")
    check_finished(own, place("training", own.t, arm), *(place(name, t, arm) for name in SHOWN for t in (0, own.t)))
    check_empty(out)
    _check_room(own, out)
    if push:
        hub.check_access(push)
    with written_beside(out) as partial, as_in_a_batch_run(f"{own.name} export"):
        _save(own, partial)
        say("merged and saved; now it answers prompts of the study")
        checked = check(own, partial, prompts)
        if checked.as_base > checked.same:
            raise InputError(f"{folder}: merged, {own.name} answers as the base model does; nothing was exported")
        if checked.mismatches:
            write_jsonl(partial / MISMATCHES, checked.mismatches)
        write_text(partial / "README.md", model_card(own, str(checked), push))
    lines = [f"{own.name} of {folder} in one piece: {out}", f"Checked: {checked}."]
    if push:
        lines.append(f"Uploaded: {hub.upload(out, push)} (private; its page makes it public)")
    return "\n".join(lines)


def _check_room(own: RunModel, out: Path) -> None:
    base = from_root(own.study.base_model)
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors")) if base.exists() else 0
    need = (weights or find_model(own.study.base_model).published_bytes) + MARGIN
    _, free = disk_of(out.resolve().parent)
    if free < need:
        raise InputError(
            f"--out {out}: needs about {need / 1e9:.2g} GB, {free / 1e9:.2g} are free; choose another disk"
        )


@contextmanager
def written_beside(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well, and is removed otherwise."""
    target = out.resolve()
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of one that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _save(own: RunModel, folder: Path) -> None:
    """Weights as safetensors, tokenizer with its template, and how to generate: greedily, to the end of the turn."""
    from transformers import GenerationConfig

    policy, decoding = merge(own.answering, own.t), own.answering.decoding
    policy.model.generation_config = GenerationConfig(
        bos_token_id=policy.tokenizer.bos_token_id,
        eos_token_id=policy.model.generation_config.eos_token_id,  # all at which the study's answers stop
        pad_token_id=policy.tokenizer.pad_token_id,
        do_sample=False,
        max_new_tokens=decoding.max_new_tokens,
        repetition_penalty=decoding.repetition_penalty,
    )
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors are written for their owner alone


def check(own: RunModel, folder: Path, prompts: int) -> Checked:
    """Let the model in ``folder`` answer the first prompts of every test set and language, as the study's did."""
    params = own.answering
    alone = params.model_copy(update={"base_model": str(folder), "quantization": "none", "t": 0})
    studys, bases = (_read(own, params, t, prompts) for t in (own.t, 0))
    scratch = folder / "check"
    with open_generator(settle_backend(alone), 0) as generator:
        found = {name: answer(generator, asked, scratch / name) for name, asked in studys.items()}
    shutil.rmtree(scratch)
    triples = [
        (name, lang, *records)
        for name, by_language in studys.items()
        for lang in by_language
        for records in zip(by_language[lang], found[name][lang], bases[name][lang], strict=True)
    ]
    return _compare(triples)


def _read(own: RunModel, params: AnswersParams, t: int, prompts: int) -> dict[str, dict[str, list[Response]]]:
    found = {name: read_answers(own.run, name, params, t) for name in TEST_SETS}
    return {name: {lang: records[:prompts] for lang, records in own.items()} for name, own in found.items()}


def _agreeing(before: str, now: str) -> float:
    """Share of ``before`` in front of the first character that differs."""
    same = next((k for k, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
    return same / len(before) if before else float(not now)


def _compare(triples: list[tuple[str, str, Response, Response, Response]]) -> Checked:
    mismatches: list[Record] = []
    alike, as_base = 0.0, 0
    for name, lang, studys, merged, bases in triples:
        before, now = studys["response"], merged["response"]
        alike += _agreeing(before, now)
        if before != now:
            as_base += now == bases["response"]
            mismatches.append(
                {
                    "set": name,
                    "lang": lang,
                    "id": studys["id"],
                    "prompt": studys["prompt"],
                    "study": before,
                    "merged": now,
                }
            )
    return Checked(len(triples), len(triples) - len(mismatches), alike / max(1, len(triples)), as_base, mismatches)
