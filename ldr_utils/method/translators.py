"""Who translates: M_t itself (paper, Section 3), or another model in its place (the paper's low-resource variant)."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.method.translation import translation_requests
from ldr_utils.policy.backends import open_generator
from ldr_utils.policy.generate import Completion, Generator, Request, decode, generate_file
from ldr_utils.policy.load import base_source, load_config, load_weights, missing_folder, revision_of, unloadable
from ldr_utils.policy.prompts import CLOSE_TAG
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_jsonl
from ldr_utils.study.params import TranslatingParams
from ldr_utils.study.records import Reply, Text, Translation

# Ends of lines and of sentences; "1." at the head of a list item is no sentence.
BREAK = re.compile(r"(\s*\n\s*|(?<=[^\d\s][.!?…])\s+|(?<=[。！？।])\s*)")


TranslatorKey = Literal["translator", "translate_prompts"]  # who translates answers, and who prompts


class Sentence(Reply):
    """A translated sentence of a response; ``part`` is its place."""

    id: str
    part: int


class Translator(Protocol):
    """Translates the answers of one model, every direction with one load."""

    def translate(self, responses: Sequence[Text], source: str, target: str, path: Path) -> list[Translation]:
        """Translate every response from ``source`` to ``target`` into ``path``, or read it where it is complete.

        Each record's ``response`` is a reply in the tag protocol: text up to the closing tag, or none.
        """


@contextmanager
def open_translator(params: TranslatingParams, key: TranslatorKey = "translator") -> Iterator[Translator]:
    """A translator of the study, loaded; its memory is free again at the end of the ``with`` block.

    Parameters
    ----------
    params : TranslatingParams
        How it translates.
    key : str
        The parameter that names it: ``self`` (M_t), or the folder or hub name of another chat model, which is asked as
        M_t would be, or of a seq2seq model that knows languages by FLORES-200 codes, as NLLB does.

    Raises
    ------
    InputError
        When the translator does not exist or cannot be loaded, or it does not know a language.
    """
    name: str = getattr(params, key)
    if name == "self":
        with open_generator(params, params.t) as generator:
            yield ChatTranslator(generator)
        return
    if trouble := missing_folder(name):
        raise InputError(f"{key}: {trouble}")
    if is_seq2seq(name, key):
        translator = Seq2SeqTranslator.load(params, key)
        try:
            yield translator
        finally:
            translator.close()
        return
    with open_generator(params, 0, key) as generator:
        yield ChatTranslator(generator)


def is_seq2seq(name: str, key: TranslatorKey = "translator") -> bool:
    """Whether a model folder or hub name is an encoder-decoder model.

    Raises
    ------
    InputError
        When its config cannot be loaded.
    """
    return bool(load_config(name, key).is_encoder_decoder)


@dataclass
class ChatTranslator:
    """A chat model that is asked with the study's translation prompt."""

    generator: Generator

    def translate(self, responses: Sequence[Text], source: str, target: str, path: Path) -> list[Translation]:
        requests = translation_requests(responses, source, target)
        return cast(list[Translation], generate_file(self.generator, requests, path, f"{source}-{target}"))


@dataclass
class Seq2SeqTranslator:
    """A translation model such as NLLB (Costa-jussà et al. 2022), with transformers.

    Such models are trained on single sentences, so that an answer is translated sentence by sentence and put together
    again with its own line breaks. They are small: their weights are not quantised.
    """

    model: Any
    tokenizer: Any
    params: TranslatingParams
    key: TranslatorKey

    @classmethod
    def load(cls, params: TranslatingParams, key: TranslatorKey) -> Seq2SeqTranslator:
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        torch.set_num_threads(params.threads)
        name = getattr(params, key)
        model = load_weights(AutoModelForSeq2SeqLM, key, name, params.dtype)
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                base_source(name), revision=revision_of(name), trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise unloadable(key, name, error) from None
        return cls(model.eval(), tokenizer, params, key)

    def translate(self, responses: Sequence[Text], source: str, target: str, path: Path) -> list[Translation]:
        joint = self._translations(responses, source, target, path.parent / "sentences" / path.name)
        write_jsonl(path, joint)
        return joint

    def _translations(
        self, responses: Sequence[Text], source: str, target: str, by_sentence: Path
    ) -> list[Translation]:
        requests = [request for record in responses for request in sentence_requests(record)]
        sentences: dict[str, dict[int, Sentence]] = {record["id"]: {} for record in responses}
        replies = generate_file(self.direction(source, target), requests, by_sentence, f"{source}-{target}")
        for sentence in cast(list[Sentence], replies):
            sentences[sentence["id"]][sentence["part"]] = sentence
        return [joined(record, sentences[record["id"]], source, target) for record in responses]

    def direction(self, source: str, target: str) -> Direction:
        """The generator of one direction.

        Raises
        ------
        InputError
            When the model does not know one of the two languages.
        """
        codes = [LANGUAGES[source].flores, LANGUAGES[target].flores]
        ids = [self.tokenizer.convert_tokens_to_ids(code) for code in codes]
        for lang, code, token in zip((source, target), codes, ids, strict=True):
            if token in (None, self.tokenizer.unk_token_id):
                name = getattr(self.params, self.key)
                raise InputError(f"{self.key}: {name} does not know {lang} as {code}; use one that does, such as NLLB")
        return Direction(self, codes[0], ids[1])

    def close(self) -> None:
        import torch

        del self.model
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU


@dataclass
class Direction:
    """A seq2seq translator as a ``Generator`` of one direction: prompts are sentences, completions translations."""

    translator: Seq2SeqTranslator
    source_code: str
    target_id: int

    @property
    def batch_size(self) -> int:
        return self.translator.params.batch_size

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        """Token ids of the last message between the marks of its language; such a model has no assistant's turn."""
        tokenizer = self.translator.tokenizer
        tokenizer.src_lang = self.source_code
        ids: list[int] = tokenizer(messages[-1]["content"], split_special_tokens=True).input_ids
        return ids

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        """Translate one batch greedily. A sentence has at most as many tokens as the model has positions."""
        import torch

        model, tokenizer, params = self.translator.model, self.translator.tokenizer, self.translator.params
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **padded,
                do_sample=False,
                num_beams=1,
                max_length=None,
                max_new_tokens=min(params.decoding.max_new_tokens, model.config.max_position_embeddings - 1),
                repetition_penalty=params.decoding.repetition_penalty,
                forced_bos_token_id=self.target_id,
            )
        # every row opens with the decoder's start token and the target language
        return [decode(row[2:].tolist(), tokenizer, {tokenizer.eos_token_id}) for row in output]

    def close(self) -> None:
        """Nothing: the translator owns the model."""


def sentence_requests(record: Text) -> list[Request]:
    """One request a sentence of a response; ``part`` is its place. Text without a letter needs no translation."""
    parts = BREAK.split(record["response"])
    return [
        Request({"id": record["id"], "part": k}, part)
        for k, part in enumerate(parts)
        if any(letter.isalpha() for letter in part)
    ]


def joined(record: Text, sentences: dict[int, Sentence], source: str, target: str) -> Translation:
    """The translation of a response from its translated sentences, closed by the tag when all came to their end."""
    parts = BREAK.split(record["response"])
    text = "".join(sentences[k]["response"] if k in sentences else part for k, part in enumerate(parts))
    finished = all(sentence["finished"] for sentence in sentences.values())
    reply = f"{text}\n{CLOSE_TAG}" if finished else text
    tokens = sum(sentence["tokens"] for sentence in sentences.values())
    return {
        "id": record["id"],
        "source_lang": source,
        "target_lang": target,
        "source": record["response"],
        "response": reply,
        "tokens": tokens,
        "finished": finished,
    }
