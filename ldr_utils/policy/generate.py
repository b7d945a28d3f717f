"""Greedy generation that loses at most the batch in flight, whatever backend completes the prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from ldr_utils.policy.chat import Chat, spoken
from ldr_utils.study.jsonl import append_jsonl, read_finished_lines, write_jsonl, write_text
from ldr_utils.study.progress import say, track
from ldr_utils.study.provenance import digest
from ldr_utils.study.records import ByLanguage, Exchange, Prompt, Record, Response

ASKED = "requests.json"  # beside answers: checksums of what each file answers
UNHEARD = {  # fields of a generation config that say nothing on how an answer comes about, or that are taken over
    *("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id", "use_cache", "return_dict_in_generate"),
    *("_from_model_config", "transformers_version", "cache_implementation"),
}


@dataclass(frozen=True)
class Request:
    """One prompt to complete: its record, the user turn, how the assistant's turn begins, and what was said before."""

    record: Mapping[str, object]
    user: str
    prefill: str = ""
    earlier: tuple[Exchange, ...] = ()

    def messages(self) -> list[dict[str, str]]:
        """The chat up to the assistant's turn."""
        said = [part for exchange in self.earlier for part in zip(("user", "assistant"), exchange, strict=True)]
        return [{"role": role, "content": text} for role, text in [*said, ("user", self.user)]]


@dataclass(frozen=True)
class Completion:
    """What the model wrote: its text, its length in tokens, and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Generator(Protocol):
    """A model M_t that completes prompts greedily; ``ldr_utils.policy.backends`` opens one."""

    @property
    def batch_size(self) -> int:
        """Prompts of one call to ``complete``: what a crash can cost."""

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        """Token ids of a chat prompt, with exactly one beginning-of-sequence token where the model has one."""

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        """Complete one batch; completions come in the order of the prompts."""

    def close(self) -> None:
        """Free the memory of the model."""


def answer(generator: Generator, prompts: ByLanguage[Prompt], folder: Path) -> dict[str, list[Response]]:
    """Let M_t answer prompts in every language: one file a language, in ``folder``."""
    found: dict[str, list[Response]] = {}
    for lang, records in prompts.items():
        requests = [Request(record, record["prompt"]) for record in records]
        found[lang] = cast(list[Response], generate_file(generator, requests, folder / f"{lang}.jsonl", lang))
    return found


def batches_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Positions sorted by length and cut into batches: little padding, and the same batches on every run."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    return [order[k : k + size] for k in range(0, len(order), size)]


def own_decoding(generation_config: Any, chat: Chat) -> Any:
    """A generation config with stop and pad tokens alone: how answers come about is what the parameters say.

    Whatever else a model's own config asks for (sampling, suppressed or forced tokens) is named once.

    Parameters
    ----------
    generation_config : GenerationConfig
        The model's own.
    chat : Chat
        How the model is spoken to.
    """
    from transformers import GenerationConfig

    asked = {key: value for key, value in generation_config.to_diff_dict().items() if value not in (None, False)}
    if ignored := sorted(asked.keys() - UNHEARD):
        values = ", ".join(f"{key}: {asked[key]}" for key in ignored)
        say(f"{chat.where}: its generation_config.json asks for {values}; ignored: decoding is what the parameters say")
    stops = sorted(stop_ids(generation_config, chat))
    return GenerationConfig(eos_token_id=stops, pad_token_id=chat.tokenizer.pad_token_id)


def stop_ids(generation_config: Any, chat: Chat) -> set[int]:
    """Tokens that end an answer: the template's end of turn, the tokenizer's end, those of the generation config."""
    listed = generation_config.eos_token_id
    ids = listed if isinstance(listed, list) else [listed]
    return {token for token in (*ids, chat.tokenizer.eos_token_id, chat.end) if token is not None}


def decode(ids: Sequence[int], tokenizer: Any, stops: set[int]) -> Completion:
    """The completion in ``ids``: what comes before the first token of ``stops``, finished if there is one.

    What a model thought before it answered is no part of the text, though its tokens count. Where a thought never came
    to its end there is no answer: the text is empty, and not finished.
    """
    end = next((k for k, token in enumerate(ids) if token in stops), None)
    kept = list(ids[:end])
    text = spoken(kept, tokenizer)
    return Completion(text or "", len(kept), end is not None and text is not None)


def generate_file(generator: Generator, requests: list[Request], path: Path, what: str) -> list[Record]:
    """Complete ``requests`` and write one record each to ``path``, in the order of the requests.

    A file that answers these very requests already is read. Finished batches are kept in ``path.partial`` while the
    file grows; a re-run repeats at most one batch. Batches are the same on every run, so that what padding or
    scheduling does to the last bits of a float does not depend on where a run broke. Answers to other requests, left by
    a study that asked something else, are kept in ``path.earlier`` until the new ones are there.

    Returns
    -------
    list of Record
        Each request's record with ``response``, ``tokens`` and ``finished`` added.
    """
    if is_answered(path, requests):
        return list(read_finished_lines(path))
    _expect(path, requests)
    partial = path.with_name(path.name + ".partial")
    done = {record["position"]: record for record in read_finished_lines(partial)}
    prompts = [generator.prompt_ids(request.messages(), request.prefill) for request in requests]
    batches = batches_by_length([len(ids) for ids in prompts], generator.batch_size)
    todo = [batch for batch in batches if not all(i in done for i in batch)]
    for batch in track(todo, what, total=len(todo)):
        completions = generator.complete([prompts[i] for i in batch])
        records = list(_records(requests, batch, completions))
        append_jsonl(partial, records)
        done.update({record["position"]: record for record in records})
    results = [{k: v for k, v in done[i].items() if k != "position"} for i in range(len(requests))]
    write_jsonl(path, results)
    for leftover in (partial, _earlier(path)):
        leftover.unlink(missing_ok=True)
    return results


def is_answered(path: Path, requests: list[Request]) -> bool:
    """Whether ``path`` holds the answers to these very requests: the same records, prompts and beginnings."""
    return path.exists() and _asked(path).get(path.name) == _digest(requests)


def _expect(path: Path, requests: list[Request]) -> None:
    """Note beside ``path`` what it will answer, and put away what answers something else."""
    asked, wanted, earlier = _asked(path), _digest(requests), _earlier(path)
    if asked.get(path.name) == wanted:
        return
    if path.exists():
        path.replace(earlier)
        say(f"{path.name} answers other prompts: made again. What was there is kept as {earlier.name} until then")
    path.with_name(path.name + ".partial").unlink(missing_ok=True)
    write_text(path.parent / ASKED, json.dumps(asked | {path.name: wanted}, indent=1, sort_keys=True) + "\n")


def _asked(path: Path) -> dict[str, str]:
    """Checksums of the requests behind the files of a folder, by name; empty where that cannot be read."""
    try:
        return dict(json.loads((path.parent / ASKED).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _digest(requests: list[Request]) -> str:
    return digest([[request.record, request.messages(), request.prefill] for request in requests])


def _earlier(path: Path) -> Path:
    return path.with_name(path.name + ".earlier")


def _records(requests: list[Request], batch: list[int], completions: list[Completion]) -> Iterator[Record]:
    for i, completion in zip(batch, completions, strict=True):
        answer = {"response": completion.text, "tokens": completion.tokens, "finished": completion.finished}
        yield {"position": i, **requests[i].record, **answer}
