"""Who translates: M_t itself, another chat model, or a translation model of the NLLB family."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.method.translation import parse_translation, translation_requests
from ldr_utils.method.translators import BREAK, Seq2SeqTranslator, joined, open_translator, sentence_requests
from ldr_utils.policy.backends import open_generator
from ldr_utils.policy.generate import generate_file
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import TranslationParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.records import Text

ANSWERS: list[Text] = [
    {"id": "1", "response": "Anna has 5 apples. Tom has 3.\nThe answer is: 8"},
    {"id": "2", "response": ""},
    {"id": "3", "response": "12 + 3 = 15\n\n1. Add them."},
]


def params(tmp_path: Path, **changes: Any) -> TranslationParams:
    values: dict[str, Any] = {"languages": ["en", "es"], "unseen": [], "run_dir": str(tmp_path), "threads": 1}
    values |= {"backend": "transformers", "translation_max_new_tokens": 12}
    return TranslationParams(**(values | changes))


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translation model of NLLB's classes, a few thousand random weights and a vocabulary of letters."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    letters = "▁0123456789+-=.:,abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    vocabulary = {token: k for k, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    codes = [LANGUAGES["en"].flores, LANGUAGES["es"].flores]
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=codes, src_lang=codes[0])
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        init_std=0.5,
    )
    folder = tmp_path_factory.mktemp("nllb")
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_every_language_has_its_flores_code() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    codes = [language.flores for language in LANGUAGES.values()]
    assert set(codes) <= set(FAIRSEQ_LANGUAGE_CODES)
    assert len(set(codes)) == len(codes)


def test_self_is_the_model_of_the_study(tmp_path: Path) -> None:
    own = params(tmp_path)
    with open_translator(own) as translator:
        found = translator.translate(ANSWERS, "en", "es", tmp_path / "self.jsonl")
    with open_generator(own, 0) as generator:
        asked = translation_requests(ANSWERS, "en", "es")
        assert found == generate_file(generator, asked, tmp_path / "direct.jsonl", "direct")


def test_another_chat_model_answers_the_same_prompt(tmp_path: Path) -> None:
    """From M_1 on only the translator's weights are read: this run folder has no adapter."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "models" / "micro", other)
    with open_translator(params(tmp_path, t=1, translator=str(other))) as translator:
        found = translator.translate(ANSWERS, "en", "es", tmp_path / "other.jsonl")
    with open_translator(params(tmp_path)) as translator:
        assert found == translator.translate(ANSWERS, "en", "es", tmp_path / "self.jsonl")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"^translator: nowhere does not exist; "),
        open_translator(params(tmp_path, translator="nowhere")),
    ):
        pass


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer_config.json"])
def test_a_broken_folder_is_named_in_one_line(nllb: Path, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(nllb, broken)
    (broken / name).write_text("{")
    with (
        pytest.raises(InputError, match=r"^translator: .*broken cannot be loaded \(.*\); give ") as caught,
        open_translator(params(tmp_path, translator=str(broken))),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.fixture
def seq2seq(nllb: Path, tmp_path: Path) -> Iterator[Seq2SeqTranslator]:
    with open_translator(params(tmp_path, translator=str(nllb))) as translator:
        assert isinstance(translator, Seq2SeqTranslator)
        yield translator


def test_seq2seq_translates_by_sentence_and_keeps_the_layout(seq2seq: Seq2SeqTranslator, tmp_path: Path) -> None:
    path = tmp_path / "en-es.jsonl"
    found = seq2seq.translate(ANSWERS, "en", "es", path)
    assert read_jsonl(path) == found
    by_sentence = tmp_path / "sentences" / "en-es.jsonl"
    assert [list(record) for record in found] == [
        ["id", "source_lang", "target_lang", "source", "response", "tokens", "finished"]
    ] * 3
    assert [record["source"] for record in found] == [record["response"] for record in ANSWERS]
    assert parse_translation(found[1]["response"]).error == "empty"
    assert found[2]["response"].startswith("12 + 3 = 15\n\n")
    before = by_sentence.stat().st_mtime_ns
    assert seq2seq.translate(ANSWERS, "en", "es", path) == found
    assert by_sentence.stat().st_mtime_ns == before, "sentences that are translated are not translated again"


def test_seq2seq_reads_one_language_and_is_made_to_write_the_other(seq2seq: Seq2SeqTranslator) -> None:
    tokenizer = seq2seq.tokenizer
    english, spanish = tokenizer.convert_tokens_to_ids([LANGUAGES["en"].flores, LANGUAGES["es"].flores])
    for source, target, head, forced in (("en", "es", english, spanish), ("es", "en", spanish, english)):
        direction = seq2seq.direction(source, target)
        prompt = direction.prompt_ids([{"role": "user", "content": "Anna"}])
        assert (prompt[0], prompt[-1]) == (head, tokenizer.eos_token_id)
        assert direction.target_id == forced


def test_seq2seq_completion_is_what_generate_writes_for_the_sentence_alone(seq2seq: Seq2SeqTranslator) -> None:
    """A batch pads; the text must not change, nor hold the language's mark or the decoder's first token."""
    direction = seq2seq.direction("en", "es")
    prompts = [direction.prompt_ids([{"role": "user", "content": text}]) for text in ("Anna", "Tom has three apples")]
    together = direction.complete(prompts)
    assert together == [direction.complete([prompt])[0] for prompt in prompts]
    for completion in together:
        assert LANGUAGES["es"].flores not in completion.text
        assert completion.tokens <= 12
        assert completion.finished == (completion.tokens < 11)


def test_a_language_that_the_translator_does_not_know_is_named(seq2seq: Seq2SeqTranslator) -> None:
    with pytest.raises(InputError, match=r"^translator: .* does not know th as tha_Thai; "):
        seq2seq.direction("en", "th")


def reply(part: int, text: str, finished: bool = True) -> tuple[int, Any]:
    return part, {"response": text, "tokens": 2, "finished": finished}


@pytest.mark.parametrize(("finished", "error"), [(True, None), (False, "no_closing_tag")])
def test_one_sentence_cut_short_makes_the_whole_a_translation_error(finished: bool, error: str | None) -> None:
    sentences = dict([reply(0, "Ana tiene 5."), reply(2, "Tom 3.", finished), reply(4, "Son: 8")])
    found = joined(ANSWERS[0], sentences, "en", "es")
    assert found["tokens"] == 6
    parsed = parse_translation(found["response"])
    assert parsed.error == error
    assert parsed.text in (None, "Ana tiene 5. Tom 3.\nSon: 8")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("1. Mix the eggs.\n2. Bake.", ["1. Mix the eggs.", "2. Bake."]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("It is 3.5 km.", ["It is 3.5 km."]),
        ("---\n3 + 4 = 7", []),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [request.user for request in sentence_requests({"id": "1", "response": text})] == sentences


@given(st.text(alphabet="ab1 .!?\n。", max_size=30))
def test_sentences_and_what_lies_between_them_are_the_whole_text(text: str) -> None:
    assert "".join(BREAK.split(text)) == text
    record: Text = {"id": "1", "response": text}
    sentences: dict[Any, Any] = {
        request.record["part"]: {"response": request.user, "tokens": 1, "finished": True}
        for request in sentence_requests(record)
    }
    assert joined(record, sentences, "en", "es")["response"] == f"{text}\n</translated>"
