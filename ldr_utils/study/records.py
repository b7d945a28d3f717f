"""What the files of a run hold: one type a kind of record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypeAlias, TypedDict, TypeVar

T = TypeVar("T")

Record = dict[str, Any]  # a row whose kind is not known: a file of someone else, or one that is still to be checked
Exchange = tuple[str, str]  # (user, assistant)
ByLanguage: TypeAlias = Mapping[str, Sequence[T]]
ByDirection: TypeAlias = Mapping[tuple[str, str], Sequence[T]]  # by (source, target)


class Rubric(TypedDict):
    """What the micro world's judge looks for: see ``judges.rubric``."""

    lang: str
    facts: list[str]
    wrong: list[str]
    value: int | None
    words: int


class Asked(TypedDict):
    """What a judge needs to know of a prompt."""

    id: str
    lang: str
    prompt: str
    rubric: NotRequired[Rubric]  # micro world


class Prompt(Asked):
    """A training prompt or a problem of a test set."""

    family: str  # arithmetic or instruction
    kind: str
    problem: str  # the same for one problem in every language and set
    level: NotRequired[int]  # micro world: steps of a word problem
    question: NotRequired[str]  # word problems: the prompt without its instruction
    gold: NotRequired[str]
    solution: NotRequired[str]
    reference: NotRequired[str]  # X-AlpacaEval
    translation_task: NotRequired[bool]


class Text(TypedDict):
    """What is translated: any answer."""

    id: str
    response: str


class Reply(TypedDict):
    """What a model wrote, in how many tokens, and whether it ended by itself."""

    response: str
    tokens: int
    finished: bool


class Response(Prompt, Reply):
    """M_t's answer, with its prompt."""


class Translation(Reply):
    """The reply to a request for a translation, in the tag protocol (see ``method.translation``)."""

    id: str
    source_lang: str
    target_lang: str
    source: str


class Pair(TypedDict):
    """A preference pair; ``via`` is the other language that it comes from."""

    id: str
    lang: str
    via: str
    prompt: str
    chosen: str
    rejected: str


class Dropped(TypedDict):
    """A pair that was not built, and why."""

    id: str
    lang: str
    via: str
    stage: str
    reason: str


class PairIds(TypedDict):
    """A preference pair in tokens."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


class Step(TypedDict):
    """A logged step of training."""

    step: int
    loss: float
    dpo: NotRequired[float]
    nll: NotRequired[float]
    margin: NotRequired[float]
    accuracy: NotRequired[float]
    learning_rate: NotRequired[float]


DataSet = dict[str, list[Prompt]]  # by language
