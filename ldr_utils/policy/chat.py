"""How a chat model is spoken to: what its own template writes, looked at before any work and never assumed.

Three renderings say everything that has to be known: a question as a prompt, the same question with an answer, and a
conversation. From them come where an answer begins, which token ends it, and whether the template leaves texts alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from ldr_utils.languages.thoughts import THOUGHTS
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import ModelParams

Message = dict[str, str]
MOMENT = datetime(2026, 1, 1, 12)  # what a template is told that asks for the time: prompts are the same on every day
ANOTHER = datetime(2031, 8, 27, 3, 45)  # by which one that asks is found out
NO_THOUGHTS: tuple[dict[str, Any], ...] = (  # what templates know that can do without; the first one does nothing else
    {"enable_thinking": False},
    {"thinking": False},
    {"reasoning_effort": "none"},
)

# Everything that a template could spoil: ends, lines, blanks, letters of many scripts, marks of mark-up, and length.
ODD = (
    "  <b>5 &lt; 7 & 'x' \"y\"</b>\t{{ z }} {% raw %} \\n %s $1 `a` *b* #c\n\n"
    "    Äpfel, cafe\u0301, ЁЖ, ありがとう, ไทย, বাংলা, \U0001f469\u200d\U0001f52c\n"
)
FIRST = f"\n Question one.{ODD}{'Wie viele Wörter? ' * 500}\nIs it whole? \n"
ANSWER = f"Answer one.{ODD}It is whole."
SECOND = f"Question two.{ODD}And this?"
SYSTEM = f"System text.{ODD}Until here."


@dataclass(frozen=True)
class Settings:
    """What a study tells a chat template: values of its variables, and a system prompt (none where it is empty).

    ``thinks`` is of a judge, whose thoughts cost time and nothing else: they are cut before its verdict is read.
    """

    template: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    thinks: bool = False

    @classmethod
    def of(cls, params: ModelParams) -> Settings:
        """Those of M_t."""
        return cls(params.chat_template_kwargs, params.system_prompt)


# A judge and a translator are asked for one short thing: variables that a template does not know do nothing.
PLAIN = Settings(NO_THOUGHTS[0])


@dataclass(frozen=True)
class Chat:
    """The protocol of a chat model, as `read_chat` found it.

    Attributes
    ----------
    tokenizer : tokenizer
        Its tokenizer, with its template.
    settings : Settings
        What every rendering is told.
    where : str
        The parameter that names the model, and its name: how messages begin.
    end : int
        The token that the template writes after an answer: trained on, and stopped at.
    opening : tuple of int
        What comes before every prompt: the beginning-of-sequence token where the tokenizer writes one and the template
        leaves that to it; otherwise nothing.
    dated : bool
        Whether the template asks for the time; it is told ``MOMENT``.
    """

    tokenizer: Any
    settings: Settings
    where: str
    end: int
    opening: tuple[int, ...] = ()
    dated: bool = False

    def prompt_ids(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """Token ids of a chat prompt that ends where the assistant's answer begins.

        There is exactly one beginning-of-sequence token where the model has one. ``prefill`` starts the assistant's
        answer. Text is never a control token: a ``<|im_end|>`` that stands in a message does not end its turn.

        Raises
        ------
        InputError
            When the template does not write a user's text as it is.
        """
        mark = _unused("".join(message["content"] for message in messages))
        marked = [m | {"content": self._spelled.sub(rf"{mark}\g<0>{mark}", m["content"])} for m in messages]
        text = _render(self.tokenizer, self.settings, marked, prompt=True)
        asked = [message["content"] for message in marked if message["role"] == "user"]
        if (lost := _lost(asked, text)) is not None:
            shown = lost.replace(mark, "")[:60]
            raise InputError(f"{self.where}: its chat template rewrites the text {shown!r}; use another model")
        parts = (text + prefill).split(mark)  # one, or every second one is a control token that a message spells out
        return [*self.opening, *(token for k, part in enumerate(parts) for token in self._ids(part, plain=k % 2 == 1))]

    def completion_ids(self, completion: str) -> list[int]:
        """Token ids of a completion, closed by the end of turn."""
        return [*self._ids(completion, plain=True), self.end]

    @cached_property
    def _spelled(self) -> re.Pattern[str]:
        """Every control token of the tokenizer, as text."""
        names = sorted(control_tokens(self.tokenizer).values(), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)")

    def _ids(self, text: str, plain: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=plain).input_ids
        return ids


def read_chat(
    tokenizer: Any, settings: Settings = PLAIN, where: str = "base_model", vocabulary: int | None = None
) -> Chat:
    """Work out how a chat model is spoken to, and check everything that its template could do wrong.

    Parameters
    ----------
    tokenizer : tokenizer
        With a chat template.
    settings : Settings
        What the template will be told.
    where : str
        The parameter that names the model, and its name: how messages begin.
    vocabulary : int, optional
        Rows of the model's embeddings, where they are known.

    Raises
    ------
    InputError
        When the model cannot be used as it is: one line with the remedy.
    """
    try:
        return _protocol(tokenizer, settings, where, vocabulary)
    except _TemplateError as error:
        remedy = "" if settings is PLAIN else _remedy(tokenizer, settings, vocabulary)
        raise InputError(f"{where}: {error.why}; {remedy or error.remedy}") from None


class _TemplateError(Exception):
    """Why a model cannot be used, and what helps where no parameter does."""

    def __init__(self, why: str, remedy: str = "use another model") -> None:
        super().__init__(why)
        self.why, self.remedy = why, remedy


IN_PARTS = _TemplateError("its chat template wants messages in parts, as models for images do")


def _remedy(tokenizer: Any, settings: Settings, vocabulary: int | None) -> str:
    """The least change of parameters with which all is well, as a request; nothing where there is none."""
    for system in dict.fromkeys((settings.system, "")):
        for values in ({}, *NO_THOUGHTS):
            try:
                _protocol(tokenizer, Settings({**settings.template, **values}, system), "", vocabulary)
            except _TemplateError:
                continue
            shown = ", ".join(f"{name}: {str(value).lower()}" for name, value in values.items())
            asks = [f"set chat_template_kwargs: {{{shown}}}"] if values else []
            return " and ".join([*asks, *(["empty system_prompt"] if system != settings.system else [])])
    return ""


def _protocol(tokenizer: Any, settings: Settings, where: str, vocabulary: int | None) -> Chat:
    """The protocol where all is well; otherwise the first fault."""
    if tokenizer.chat_template is None:
        raise _TemplateError("has no chat template", "use the instruction-tuned version")
    if tokenizer.eos_token_id is None:
        raise _TemplateError("has no end-of-sequence token", "use the instruction-tuned version")
    probed = Settings(settings.template, SYSTEM if settings.system else "")
    question, answered = [_said("user", FIRST)], [_said("user", FIRST), _said("assistant", ANSWER)]
    prompt = _rendered(tokenizer, probed, question, prompt=True)
    whole = _rendered(tokenizer, probed, answered, prompt=False)
    if FIRST.strip() not in prompt and _in_parts(tokenizer):
        raise IN_PARTS
    _check_texts([FIRST], prompt)
    _check_texts([FIRST, ANSWER], whole)
    if settings.system:
        _check_texts([SYSTEM, FIRST], prompt)
    before, _, after = whole.partition(ANSWER.strip())
    _check_opening(prompt, before, settings)
    end = _end_of_turn(tokenizer, after)
    talk = [*answered, _said("user", SECOND)]
    _check_texts([FIRST, ANSWER, SECOND], _rendered(tokenizer, probed, talk, prompt=True))
    opening = _missing_bos(tokenizer, prompt)
    _check_vocabulary(tokenizer, end, vocabulary)
    dated = prompt != _rendered(tokenizer, probed, question, prompt=True, moment=ANOTHER)
    return Chat(tokenizer, settings, where, end, opening, dated)


def _said(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _render(
    tokenizer: Any, settings: Settings, messages: Sequence[Message], prompt: bool, moment: datetime = MOMENT
) -> str:
    system = [_said("system", settings.system)] if settings.system else []
    text: str = tokenizer.apply_chat_template(
        [*system, *messages],
        add_generation_prompt=prompt,
        tokenize=False,
        strftime_now=moment.strftime,
        **settings.template,
    )
    return text


def _rendered(
    tokenizer: Any, settings: Settings, messages: Sequence[Message], prompt: bool, moment: datetime = MOMENT
) -> str:
    """As `_render`; what a template stumbles over is a fault."""
    from jinja2 import TemplateSyntaxError

    try:
        return _render(tokenizer, settings, messages, prompt, moment)
    except TemplateSyntaxError as error:
        raise _TemplateError(f"its chat template has a syntax error in line {error.lineno} ({error.message})") from None
    except Exception as error:  # a template may raise whatever it likes
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(tokenizer.chat_template, dict):
        names = ", ".join(sorted(tokenizer.chat_template))
        raise _TemplateError(
            f"has several chat templates ({names}) and no default one", "save the one to use as its chat_template.jinja"
        )
    why = f"its chat template cannot render a question and an answer ({reason})"
    raise IN_PARTS if _in_parts(tokenizer) else _TemplateError(why)


def _in_parts(tokenizer: Any) -> bool:
    """Whether a template writes a text that comes as one of several parts of a message."""
    message: Any = {"role": "user", "content": [{"type": "text", "text": ANSWER}]}
    try:
        return ANSWER.strip() in _render(tokenizer, Settings(), [message], prompt=True)
    except Exception:
        return False


def _check_texts(texts: Sequence[str], rendered: str) -> None:
    """Whether every text stands in ``rendered``, once and in order; blanks around it may be gone."""
    names = {FIRST: "the user's text", ANSWER: "an answer", SECOND: "a second question", SYSTEM: "the system prompt"}
    for text in texts:
        if not (times := rendered.count(text.strip())):
            raise _TemplateError(f"its chat template leaves out or rewrites {names[text]}")
        if times > 1:
            raise _TemplateError(f"its chat template writes {names[text]} {times} times")
    if _lost(texts, rendered) is not None:
        raise _TemplateError("its chat template changes the order of a conversation")


def _lost(texts: Sequence[str], rendered: str) -> str | None:
    """The first text that does not stand in ``rendered`` after those before it; None where all do."""
    place = 0
    for text in texts:
        found = rendered.find(text.strip(), place)
        if found < 0:
            return text
        place = found + len(text.strip())
    return None


def _check_opening(prompt: str, before: str, settings: Settings) -> None:
    """Whether an answer begins where the template itself begins one.

    Three differences are understood: blanks, which models of the Llama 2 kind begin an answer with; an empty thought
    that only the prompt has (there is nothing to think about) and one that only answers have (the model thinks for
    itself: to be asked for in so many words).
    """
    question = FIRST.strip()
    tail = prompt.rpartition(question)[2]
    for opens, closes in THOUGHTS:
        if tail.rfind(opens) > tail.rfind(closes):
            if settings.thinks:
                return
            raise _TemplateError(f"its chat template opens a thought in the prompt ({opens})")
    more, less = before.removeprefix(prompt), prompt.removeprefix(before)
    if before.startswith(prompt) and (
        not more.strip() or (_is_thought(more) and "enable_thinking" in settings.template)
    ):
        return
    if prompt.startswith(before) and (not less.strip() or _is_thought(less)):
        return
    if before.startswith(prompt) and _is_thought(more):
        raise _TemplateError("would think before every answer")
    ends, begins = tail.strip()[-60:], before.rpartition(question)[2].strip()[-60:]
    raise _TemplateError(f"its prompts end in {ends!r}, where its chat template begins an answer after {begins!r}")


def _is_thought(text: str) -> bool:
    """Whether a text is a thought without a word (but Gemma 4's, which says that it is one), and blanks."""
    return any(re.fullmatch(rf"\s*{re.escape(o)}(thought)?\s*{re.escape(c)}\s*", text) for o, c in THOUGHTS)


def _end_of_turn(tokenizer: Any, after: str) -> int:
    """The token that stands after an answer, blanks aside."""
    text = after.strip()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if not ids:
        raise _TemplateError("its chat template does not end an answer")
    if ids[0] not in control_tokens(tokenizer) or ids[0] == tokenizer.unk_token_id:
        raise _TemplateError(
            f"its chat template ends an answer with {text[:30]!r}, which is no control token of its tokenizer"
        )
    return int(ids[0])


def _missing_bos(tokenizer: Any, prompt: str) -> tuple[int, ...]:
    """The beginning-of-sequence token where the tokenizer writes one before a plain text and the template does not."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return ()
    ids = tokenizer(prompt, add_special_tokens=False).input_ids[:2]
    if ids == [bos, bos]:
        raise _TemplateError(f"its chat template writes {tokenizer.bos_token} twice")
    habit = tokenizer("x").input_ids[:1] == [bos] != tokenizer("x", add_special_tokens=False).input_ids[:1]
    return (bos,) if habit and ids[:1] != [bos] else ()


def _check_vocabulary(tokenizer: Any, end: int, size: int | None) -> None:
    """Whether the embeddings have a row for every token that text, template or padding can become.

    Control tokens beyond them are left alone: text is never one (`Chat.prompt_ids`), and Gemma 3 1B has such a one.
    """
    if size is None:
        return
    control = control_tokens(tokenizer)
    used = {"end of turn": end, "eos_token": tokenizer.eos_token_id, "pad_token": tokenizer.pad_token_id}
    for name, token in (used | {"bos_token": tokenizer.bos_token_id}).items():
        if token is not None and token >= size:
            raise _TemplateError(
                f"its {name} {control.get(token, token)} has no place among the {size:,} of its vocabulary"
            )
    words = max((token for token in tokenizer.get_vocab().values() if token not in control), default=0)
    if words >= size:
        raise _TemplateError(
            f"its tokenizer has {words + 1:,} tokens, its embeddings {size:,}", "give the tokenizer it came with"
        )


@cache
def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The control tokens of a tokenizer and how they are spelled."""
    added = {token: str(text) for token, text in tokenizer.added_tokens_decoder.items() if text.special}
    return added | dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))


def spoken(ids: Sequence[int], tokenizer: Any) -> str | None:
    """What an answer says once its thoughts are over; None where they are not.

    Parameters
    ----------
    ids : sequence of int
        The answer, without its end of turn.
    tokenizer : tokenizer
        Of the model; to some the marks of a thought are tokens, control tokens even, to others they are plain text.
    """
    kept = list(ids)
    for opens, closes in _thought_tokens(tokenizer):
        if closes in kept:
            kept = kept[kept.index(closes) + 1 :]
        elif kept[:1] == [opens]:
            return None
    text: str = tokenizer.decode(kept, skip_special_tokens=True)
    for opening, closing in THOUGHTS:
        if closing in text:
            text = text.partition(closing)[2]
        elif text.lstrip().startswith(opening):
            return None
    return text.strip()


@cache
def _thought_tokens(tokenizer: Any) -> list[tuple[int, int]]:
    """The marks of a thought as tokens, where the tokenizer has them as such."""
    vocabulary = tokenizer.get_added_vocab()
    return [(vocabulary[o], vocabulary[c]) for o, c in THOUGHTS if o in vocabulary and c in vocabulary]


def _unused(text: str) -> str:
    """A private-use character that ``text`` does not have."""
    return next(mark for mark in map(chr, range(0xF0000, 0x10FFFE)) if mark not in text)
