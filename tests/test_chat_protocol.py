"""How a chat model is spoken to: read off its own template, and refused in one line where that cannot be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ldr_utils.commands import template_table
from ldr_utils.commands.model_files import find_model, shape_of
from ldr_utils.commands.preflight import check_inputs
from ldr_utils.commands.shrink import small_files
from ldr_utils.commands.stand_ins import make_tokenizer
from ldr_utils.languages.thoughts import THOUGHTS
from ldr_utils.policy.chat import PLAIN, Chat, Settings, read_chat, spoken
from ldr_utils.policy.generate import Completion, decode
from ldr_utils.policy.load import load_chat, load_policy, load_tokenizer
from ldr_utils.study import provenance
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DecodingParams, StudyParams
from ldr_utils.study.paths import ROOT

MICRO = ROOT / "models" / "micro"
CHATML = (MICRO / "chat_template.jinja").read_text()
CONTENT, NEXT = "content'] }}", "assistant\n{% endif %}"  # where ChatML writes a text, and opens an answer
ASK = [{"role": "user", "content": "How many?"}]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the micro model, to be spoiled."""
    return Path(shutil.copytree(MICRO, tmp_path / "model"))


def templated(model: Path, template: str) -> Chat:
    (model / "chat_template.jinja").write_text(template)
    return load_chat(str(model), settings=Settings())


def with_settings(model: Path, **changes: Any) -> None:
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# The micro model


def test_the_micro_model_is_spoken_to_as_ever() -> None:
    chat = load_chat("models/micro", settings=Settings())
    tokenizer = chat.tokenizer
    assert (tokenizer.convert_ids_to_tokens(chat.end), tokenizer.pad_token) == ("<|im_end|>", "<|pad|>")
    assert (chat.opening, chat.dated) == ((), False)
    text = "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    assert chat.prompt_ids(ASK) == tokenizer(text, add_special_tokens=False).input_ids
    assert chat.completion_ids("Two.") == [*tokenizer("Two.").input_ids, tokenizer.eos_token_id]


# What a template may do to a conversation

REFUSED = {
    "parts": (
        CHATML.replace("{{ message['content'] }}", "{% for c in message['content'] %}{{ c['text'] }}{% endfor %}"),
        "its chat template wants messages in parts, as models for images do; use another model",
    ),
    "no assistant turn": (
        CHATML.replace("{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}", ""),
        "its prompts end in .*where its chat template begins an answer after .*assistant.*; use another model",
    ),
    "an open thought": (
        CHATML.replace(NEXT, "assistant\n<think>\n{% endif %}"),
        r"opens a thought in the prompt \(<think>\); use another model",
    ),
    "an open thought that can be left out": (
        CHATML.replace(NEXT, "assistant\n{{ '' if enable_thinking is false else '<think>' }}{% endif %}"),
        r"opens a thought in the prompt \(<think>\); set chat_template_kwargs: {enable_thinking: false}",
    ),
    "an open thought of another family": (
        CHATML.replace(NEXT, "assistant\n<|inner_prefix|>{% endif %}"),
        r"opens a thought in the prompt \(<\|inner_prefix\|>\)",
    ),
    "blanks": (CHATML.replace(CONTENT, "content'].split() | join(' ') }}"), "rewrites the user's text"),
    "lower case": (CHATML.replace(CONTENT, "content'] | lower }}"), "rewrites the user's text"),
    "cut short": (CHATML.replace(CONTENT, "content'][:4000] }}"), "rewrites the user's text"),
    "escaped": (CHATML.replace(CONTENT, "content'] | e }}"), "rewrites the user's text"),
    "twice": (CHATML.replace(CONTENT, "content'] * 2 }}"), "writes the user's text 2 times"),
    "reversed": (CHATML.replace("in messages", "in messages[::-1]"), "changes the order|its prompts end in"),
    "forgetful": (CHATML.replace("in messages", "in messages[-1:]"), "leaves out or rewrites the user's text"),
    "short memory": (CHATML.replace("in messages", "in messages[:2]"), "leaves out or rewrites a second question"),
    "raises": ("{{ raise_exception('not today') }}", r"cannot render a question and an answer \(not today\); use"),
    "another role": (
        "{% if messages[0].role != 'human' %}{{ raise_exception('no role ' + messages[0].role) }}{% endif %}",
        r"cannot render a question and an answer \(no role user\)",
    ),
    "syntax error": ("{% for m in messages %}{{ m.content }", "has a syntax error in line 1"),
    "nothing": ("", "leaves out or rewrites the user's text"),
    "no end of turn": (CHATML.replace("<|im_end|>", ""), "does not end an answer"),
    "an end of turn in words": (
        CHATML.replace("<|im_end|>", "### END"),
        "ends an answer with '### END', which is no control token of its tokenizer",
    ),
    "an end of turn that nobody knows": (CHATML.replace("<|im_end|>", "<|eot_id|>"), "which is no control token"),
    "channels": (
        CHATML.replace("'] }}\n", "'] }}\n{{ '<|channel|>final<|message|>' if message.role == 'assistant' }}"),
        "its prompts end in .*begins an answer after .*final",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_cannot_be_used_is_refused_in_one_line(model: Path, name: str) -> None:
    template, reason = REFUSED[name]
    with pytest.raises(InputError, match=rf"^base_model: {model}: .*({reason})") as refused:
        templated(model, template)
    assert "\n" not in str(refused.value)


UNDERSTOOD = {
    "trims the ends of a text": CHATML.replace(CONTENT, "content'] | trim }}"),
    "a blank before an answer": "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} <|im_end|>{% endif %}{% endfor %}",
    "an empty thought in the prompt": CHATML.replace(NEXT, "assistant\n<think>\n\n</think>\n\n{% endif %}"),
    "a system prompt of its own": "<|im_start|>system\nBe kind.<|im_end|>\n" + CHATML,
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_template_with_ways_of_its_own(model: Path, name: str) -> None:
    chat = templated(model, UNDERSTOOD[name])
    assert chat.tokenizer.convert_ids_to_tokens(chat.end) == "<|im_end|>"


def test_several_templates_without_a_default(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    named = [{"name": name, "template": CHATML} for name in ("rag", "tool_use")]
    with_settings(model, chat_template=named)
    with pytest.raises(InputError, match=r"several chat templates \(rag, tool_use\) and no default one; save the one"):
        load_chat(str(model))
    with_settings(model, chat_template=[*named, {"name": "default", "template": CHATML}])
    assert load_chat(str(model)).prompt_ids(ASK)


def test_the_end_of_turn_is_the_template_s_not_the_tokenizer_s(model: Path) -> None:
    """Gemma and Phi: ``eos_token`` ends a document. A model trained to write it would stop at nothing."""
    with_settings(model, eos_token="<|pad|>", pad_token=None)
    chat = load_chat(str(model))
    assert chat.tokenizer.eos_token == "<|pad|>"
    assert chat.completion_ids("Two.")[-1] == chat.tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eos_token": "<eos>"}, r"its eos_token <eos> has no place among the 2,048 of its vocabulary"),
        ({"pad_token": "<nothing>"}, r"its pad_token <nothing> has no place among the 2,048"),
    ],
)
def test_tokens_without_an_embedding(model: Path, changes: dict[str, Any], reason: str) -> None:
    with_settings(model, **changes)
    with pytest.raises(InputError, match=reason):
        load_chat(str(model))


def test_a_tokenizer_that_is_larger_than_the_embeddings(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["<extra>"], special_tokens=True)
    tokenizer.save_pretrained(model)
    load_chat(str(model))  # text is never a control token: Gemma 3 1B has one more than embeddings
    tokenizer.add_tokens(["word"])
    tokenizer.save_pretrained(model)
    with pytest.raises(InputError, match="its tokenizer has 2,050 tokens, its embeddings 2,048; give the tokenizer it"):
        load_chat(str(model))


def test_a_text_that_is_rewritten_for_its_own_sake_stops_the_stage(model: Path) -> None:
    chat = templated(model, CHATML.replace(CONTENT, "content'] | replace('colour', 'color') }}"))
    assert chat.prompt_ids(ASK)
    with pytest.raises(InputError, match="its chat template rewrites the text 'What colour"):
        chat.prompt_ids([{"role": "user", "content": "What colour is it?"}])


# What the study tells a template


def test_a_system_prompt_opens_every_conversation(model: Path) -> None:
    chat = load_chat(str(model), settings=Settings(system="Be brief."))
    text = chat.tokenizer.decode(chat.prompt_ids(ASK))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow many?")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (CHATML.replace("in messages", "in messages if message.role != 'system'"), "leaves out or rewrites the system"),
        ("{{ raise_exception('no such role') if messages[0].role == 'system' }}" + CHATML, "no such role"),
    ],
)
def test_a_system_prompt_that_a_template_has_no_place_for(model: Path, template: str, reason: str) -> None:
    (model / "chat_template.jinja").write_text(template)
    with pytest.raises(InputError, match=f"{reason}.*; empty system_prompt$"):
        load_chat(str(model), settings=Settings(system="Be brief."))


def test_a_prompt_is_the_same_on_every_day(model: Path) -> None:
    dated = "<|im_start|>system\nIt is {{ strftime_now('%Y-%m-%d %H:%M') }}.<|im_end|>\n" + CHATML
    chat = templated(model, dated)
    assert chat.dated
    assert "It is 2026-01-01 12:00." in chat.tokenizer.decode(chat.prompt_ids(ASK))
    given = "<|im_start|>system\nIt is {{ date_string or strftime_now('%d %b %Y') }}.<|im_end|>\n" + CHATML
    (model / "chat_template.jinja").write_text(given)
    told = load_chat(str(model), settings=Settings({"date_string": "26 Jul 2024"}))
    assert not told.dated
    assert "It is 26 Jul 2024." in told.tokenizer.decode(told.prompt_ids(ASK))


def test_exactly_one_beginning_of_sequence(tmp_path: Path) -> None:
    """Written by the template (Llama 3), left to the tokenizer (EuroLLM), or none at all (Qwen)."""
    for name, expected in (("llama3", "<|begin_of_text|>"), ("chatml", "<s>"), ("qwen2_5", None)):
        chat = read_chat(make_tokenizer(tmp_path / name, name), Settings())
        tokens = chat.tokenizer.convert_ids_to_tokens(chat.prompt_ids(ASK))
        assert [token for token in tokens if token == chat.tokenizer.bos_token] == ([expected] if expected else [])
        assert expected in (None, tokens[0])


def test_a_beginning_that_is_written_twice(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "llama3")
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    with pytest.raises(InputError, match=r"writes <\|begin_of_text\|> twice"):
        read_chat(tokenizer)


def test_a_translator_and_a_judge_are_asked_not_to_think(tmp_path: Path) -> None:
    for name in ("qwen3", "qwen3_5_think"):
        tokenizer = make_tokenizer(tmp_path / name, name)
        with pytest.raises(InputError, match=r"set chat_template_kwargs: {enable_thinking: false}"):
            read_chat(tokenizer, Settings())
        assert read_chat(tokenizer, PLAIN) == read_chat(tokenizer, Settings({"enable_thinking": False}))
    asked_for = read_chat(make_tokenizer(tmp_path / "qwen3", "qwen3"), Settings({"enable_thinking": True}))
    assert asked_for.tokenizer.decode(asked_for.prompt_ids(ASK)).endswith("assistant\n"), "a prefill is in no thought"


# Pads


@pytest.mark.parametrize(
    ("name", "pad"), [("llama2", "<unk>"), ("qwen2_5", "<|endoftext|>"), ("llama3_2", "<|eot_id|>")]
)
def test_what_pads_where_a_tokenizer_names_nothing(tmp_path: Path, name: str, pad: str) -> None:
    """The unknown token (Llama 2), its own (Qwen), or the end of turn where there is nothing else."""
    make_tokenizer(tmp_path, name)
    assert load_tokenizer(str(tmp_path)).pad_token == pad


def test_a_reserved_token_pads_before_the_end_of_turn(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "llama3_2")
    tokenizer.add_tokens(["<|finetune_right_pad_id|>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).pad_token == "<|finetune_right_pad_id|>"


# Thoughts


def thinking(folder: Path, opening: str, closing: str, special: bool) -> Any:
    """A tokenizer that has the marks of a thought as tokens, or as plain text where ``special`` is None."""
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    tokenizer.add_tokens([opening, closing], special_tokens=special)
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["control token", "token", "text"])
@pytest.mark.parametrize("marks", THOUGHTS, ids=lambda marks: marks[0])
def test_a_thought_is_no_part_of_the_answer(tmp_path: Path, marks: tuple[str, str], kind: str) -> None:
    opening, closing = marks
    plain = AutoTokenizer.from_pretrained(MICRO)
    tokenizer = plain if kind == "text" else thinking(tmp_path, opening, closing, kind == "control token")

    def completion(text: str, ended: bool = True) -> Completion:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        return decode([*ids, 2] if ended else ids, tokenizer, {2})

    thought = completion(f"{opening}\n9 + 9, so 18.\n{closing}\n\n18.")
    assert (thought.text, thought.finished) == ("18.", True)
    assert thought.tokens > 10, "what was thought was paid for"
    assert completion(f"9 + 9.\n{closing}\n\n18.").text == "18.", "the prompt had opened it"
    unclosed = completion(f"{opening}\n9 + 9, so 18.")
    assert (unclosed.text, unclosed.finished) == ("", False)
    assert completion("18.", ended=False) == Completion("18.", len(tokenizer("18.").input_ids), False)


def test_an_answer_without_a_thought_is_left_alone() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    text = "5 < 7 and [5, 7], as I think."
    assert spoken(tokenizer(text).input_ids, tokenizer) == text


# A model at a commit


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with two commits of a model, of which the second is the newest; no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for topic in provenance.LOADED:
        monkeypatch.setitem(provenance.LOADED, topic, {})
    repo = tmp_path / "hub" / "models--owner--micro"
    for commit in OLD, NEW:
        shutil.copytree(MICRO, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(NEW)
    (repo / "snapshots" / OLD / "chat_template.jinja").write_text("{{ 'old ' }}" + CHATML)
    return repo


OLD, NEW = "a" * 40, "b" * 40


def test_a_model_can_be_pinned(hub: Path, tmp_path: Path) -> None:
    """Weights, tokenizer, config and template of one commit; which one it was is noted for the manifest."""
    for name, commit in (("owner/micro", NEW), (f"owner/micro@{OLD}", OLD)):
        policy = load_policy(DecodingParams(base_model=name, run_dir=str(tmp_path), threads=1), 0)
        text = policy.tokenizer.decode(policy.prompt_ids(ASK))
        assert text.startswith("old") == (commit == OLD)
        assert provenance.LOADED["models"] == {"base_model": commit}
        assert provenance.LOADED["chat"]["base_model"]["end_of_turn"] == "<|im_end|>"


def test_all_that_looks_at_a_pinned_model_sees_its_commit(hub: Path) -> None:
    """Its sizes, and the files that a rehearsal shrinks; of a model that nobody knows by name."""
    for name, commit in (("owner/micro", NEW), (f"owner/micro@{OLD}", OLD)):
        assert shape_of(name) == shape_of("models/micro") is not None
        assert small_files(name) == hub / "snapshots" / commit


def test_a_run_stays_with_the_commit_that_it_began_with(hub: Path, tmp_path: Path) -> None:
    params = DecodingParams(base_model="owner/micro", run_dir=str(tmp_path), threads=1)
    manifest = {"stage": "02_generation", "outputs": {}, "params": params.model_dump(), "models": {"base_model": OLD}}
    (tmp_path / "M0").mkdir()
    (tmp_path / "M0" / "manifest.json").write_text(json.dumps(manifest))
    moved = f"owner/micro is now at {NEW}, 02_generation of this run had {OLD}; pin it: base_model: owner/micro@{OLD}"
    with pytest.raises(InputError, match=f"^base_model: {moved}$"):
        load_policy(params, 0)
    load_policy(params.model_copy(update={"base_model": f"owner/micro@{OLD}"}), 0)


def test_the_doctor_says_how_to_stay_with_a_commit(hub: Path) -> None:
    check = find_model("owner/micro").check
    assert (check.verdict, f"to stay with it, name owner/micro@{NEW}" in check.detail) == ("ok", True)
    pinned = find_model(f"owner/micro@{OLD}").check
    assert (pinned.verdict, "to stay with it" in pinned.detail) == ("ok", False)
    assert check_inputs(StudyParams(base_model=f"owner/micro@{OLD}")) is None  # type: ignore[func-returns-value]


# Where it is looked at


def test_ldr_run_refuses_what_the_stage_would(model: Path) -> None:
    """The base model, a local judge, a translator, each by the key that names it, before any work."""
    (model / "chat_template.jinja").write_text(REFUSED["twice"][0])
    published = {"source": "published", "judge": "local", "judge_model": "models/micro"}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("base_model", {}),
        ("translator", {}),
        ("judge_model", published),
        ("second_judge_model", published | {"second_judge": "local"}),
    ]
    for key, others in cases:
        with pytest.raises(InputError, match=rf"^{key}: {model}: its chat template writes the user's text 2 times"):
            check_inputs(StudyParams(**(others | {key: str(model)})))


def test_the_page_says_what_is_found() -> None:
    """docs/chat-templates.md, recomputed; `python -m ldr_utils.commands.template_table` writes it."""
    assert template_table.PAGE.read_text(encoding="utf-8") == template_table.page()


def test_values_for_a_template_are_checked() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"tokenize": True}, "'tokenize' is no variable of a chat template; remove it"),
        ({"not a name": 1}, "'not a name' is no variable of a chat template"),
        ({"effort": ["low"]}, "effort: give true, false, a number or a text"),
    ]
    for values, reason in refused:
        with pytest.raises(ValueError, match=f"chat_template_kwargs: {reason}"):
            StudyParams(chat_template_kwargs=values)
    with pytest.raises(ValueError, match="system_prompt: has control characters or over 4,000 characters"):
        StudyParams(system_prompt="\0")
