"""What a server says when it does not answer, and the form of request that it takes instead.

Servers word the same refusal differently and pack it into bodies of different shapes; so the text of the body is read,
whatever its shape, and the status only where the text says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ldr_utils.judges.chat import at
from ldr_utils.judges.prompted import Question
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.text import one_line

MAX_TOKENS = 8  # a label is one; a few more tell a refusal from a verdict
TOP_LOGPROBS, TOP_PUBLISHED = 20, 5  # the most that OpenAI and vLLM give, and what AlpacaEval asks for
COLDEST = 0.01  # where a temperature of 0 is refused because it has to be positive
LONGEST = 200  # characters of a server's words that are repeated
ECHOED = {"input", "ctx", "url", "request", "callstack", "stack"}  # keys of a body that repeat what was sent, or worse

Kind = Literal["busy", "form", "long", "filtered", "key", "model", "money", "address"]

LONG = re.compile(
    r"context.{0,20}(length|size|window)|maximum context|too long|too many (input )?tokens|input token count"
    r"|reduce (the length|your (prompt|message|input))|prompt (is|has) too|`inputs` tokens|exceed_context"
    r"|(prompt|input|request)\b.{0,60}\btokens?\b.{0,40}(exceed|limit|maximum)"
)
FILTERED = re.compile(
    r"content[ _]?filter|content management policy|content policy|responsible_?ai|safety (system|filter)|was flagged"
    r"|data_inspection_failed|inappropriate content"
)
MONEY = re.compile(
    r"insufficient[ _](quota|funds|credit|balance)|current quota|billing|credits?\b|payment|balance|arrear|spend"
)
MODEL = re.compile(
    r"model.{0,80}(not exist|n't exist|not found|decommission|deprecat|retired|no longer|not available|unavailable"
    r"|no access|not have access|not supported|not allowed)|model_not_|model_decommissioned"
    r"|(unknown|(in|not a )valid|no such|unsupported|unrecognized|nonexistent) model|model name|no endpoints found"
    r"|(access|permission).{0,40}model"
)
UNSUPPORTED = re.compile(r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|invalid|must be")
KEY = re.compile(r"api[ _-]?key|unauthori[sz]ed|authenticat|credentials")
SECRET = re.compile(r"\S*\*{3,}\S*|\bBearer\s+\S+|\b(?:sk|pk|gsk|xai|hf|nvapi|AIza)[-_]?[A-Za-z0-9_-]{8,}")
NAMED = {
    "max_tokens": re.compile(r"max[ _]?(completion_|output_|new_)?tokens|model output limit"),
    "temperature": re.compile(r"temperature"),
    "logprobs": re.compile(r"log[ _]?prob|top_n_tokens|n_probs"),
    "chat_template_kwargs": re.compile(r"chat_template_kwargs|chat template"),
}
AT_LEAST = re.compile(r"(?:>=|at least|minimum|greater than or equal to|no less than|between)\D{0,16}(\d+)")
AT_MOST = re.compile(
    r"(?:<=|≤|at most|max(?:imum)?\b|up to|(?:less|lower|smaller) than or equal to|exceeds? the limit|between \d+ and"
    r"|range \d+(?:-| to))\D{0,16}(\d+)|\[\s*\d+\s*,\s*(\d+)\s*\]"
)
BELOW = re.compile(r"(?:(?:less|lower|smaller) than|<)\s*(\d+)|\[\s*\d+\s*,\s*(\d+)\s*\)")
POSITIVE = re.compile(
    r"positive|greater than 0|> ?0|above 0|larger than 0|non-?zero|not be (0|zero)|cannot be (0|zero)"
)


def texts(body: str) -> str:
    """Every text in a body, in small letters; of one that is not JSON all of it."""
    try:
        found = " ".join(_strings(json.loads(body)))
    except (ValueError, RecursionError):
        found = body
    return found.lower()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ECHOED:
                yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def words(body: str, key: str = "") -> str:
    """The server's words in one short line, without anything that looks like a key, or like part of ``key``."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL | re.IGNORECASE)
    places = (("error", "message"), ("error",), ("message",), ("detail",), ("choices", 0, "error", "message"))
    said = next((text for place in places if isinstance(text := at(value, *place), str) and text.strip()), "")
    text = one_line(masked(said or " ".join(_strings(value)), key))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def masked(text: str, key: str) -> str:
    """``text`` without words that look like a key, or share six characters with ``key``."""
    parts = {key[k : k + 6] for k in range(max(1, len(key) - 5))} if key else set()
    plain = re.sub(r"\S+", lambda word: "[...]" if any(part in word[0] for part in parts) else word[0], text)
    return SECRET.sub("[...]", plain)


def kind_of(status: int, body: str, told_when: bool = False) -> Kind:
    """What a refusal is about.

    Parameters
    ----------
    status : int
        Of HTTP; 200 where the complaint came as an answer, 0 where nothing came.
    body : str
        The body.
    told_when : bool
        Whether the server said when to come back.
    """
    text = texts(body)
    if status == 200:
        code = _code(body)
        return kind_of(code, body) if code else _by_words(text, "busy")
    if status in (408, 409, 425, 429) or status >= 500 or status == 0:
        if status in (501, 505):
            return "address"
        spent = "insufficient_quota" in text or (status == 429 and MONEY.search(text) and not told_when)
        return "money" if spent else "busy"
    if status in (400, 403, 413, 422) and LONG.search(text):
        return "long"
    if status in (400, 403, 422, 451) and FILTERED.search(text):
        return "filtered"
    by_status: dict[int, Kind] = {400: "form", 422: "form", 401: "key", 402: "money", 404: "model", 410: "model"}
    if status in (400, 403, 422):
        return _by_words(text, by_status.get(status, "key"))
    return by_status.get(status, "address")


def may_be_form(kind: Kind, status: int, body: str) -> bool:
    """Whether a refusal may be of the form of a request, which some servers pass on as a fault of theirs."""
    return kind in ("form", "model") or (kind == "busy" and status >= 500 and bool(UNSUPPORTED.search(texts(body))))


def _by_words(text: str, otherwise: Kind) -> Kind:
    kinds: tuple[tuple[re.Pattern[str], Kind], ...] = ((MODEL, "model"), (MONEY, "money"), (KEY, "key"))
    return next((kind for pattern, kind in kinds if pattern.search(text)), otherwise)


def _code(body: str) -> int:
    """A status that stands in the body of an answer, where a gateway passes one on; 0 for none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    found = at(value, "error", "code") or at(value, "choices", 0, "error", "code")
    code = int(found) if str(found).isdecimal() else 0
    return code if 400 <= code < 600 else 0


@dataclass(frozen=True)
class Form:
    """The optional parts of a request as a server takes them: learnt from what it refuses.

    Attributes
    ----------
    limit : str
        What the longest reply is called; empty where the server takes neither name.
    least, most : int
        Bounds of that limit.
    coldest : float or None
        The lowest temperature; None where the server chooses it.
    top_logprobs : int
        Alternatives a token; 0 where no probabilities are given.
    template_kwargs : bool
        Whether parameters of the chat template may be sent.
    room : bool
        Whether the model was seen to think, and needs room for that.
    """

    limit: str = "max_tokens"
    least: int = 1
    most: int = 10**9
    coldest: float | None = 0.0
    top_logprobs: int = TOP_LOGPROBS
    template_kwargs: bool = True
    room: bool = False

    def arguments(self, question: Question, params: JudgeParams) -> dict[str, Any]:
        """What is sent beside model and messages."""
        found: dict[str, Any] = {}
        if self.limit:
            tokens = params.judge_max_tokens if self.room else 1 if question.sampled else MAX_TOKENS
            found[self.limit] = min(self.most, max(self.least, tokens))
        if self.coldest is not None:
            found["temperature"] = max(self.coldest, 1.0 if question.sampled else 0.0)
        if top := min(self.top_logprobs, TOP_PUBLISHED if question.sampled else TOP_LOGPROBS):
            found |= {"logprobs": True, "top_logprobs": top}
        if self.template_kwargs and params.judge_template_kwargs:
            found["extra_body"] = {"chat_template_kwargs": dict(params.judge_template_kwargs)}
        return found

    def without(self, body: str, sent: dict[str, Any]) -> Form:
        """The form that a server takes which refused what was ``sent``; this one where its words name no part of it."""
        named, text, form = refused(body), texts(body), self
        if "max_tokens" in named and self.limit:
            form = form._other_limit(text, int(sent[self.limit]))
        if "temperature" in named and "temperature" in sent:
            form = replace(form, coldest=COLDEST if POSITIVE.search(text) and sent["temperature"] == 0 else None)
        if "logprobs" in named and "logprobs" in sent:
            form = replace(form, top_logprobs=_fewer(text, int(sent["top_logprobs"])))
        if "chat_template_kwargs" in named and "extra_body" in sent:
            form = replace(form, template_kwargs=False)
        return form

    def _other_limit(self, text: str, tokens: int) -> Form:
        least = max((int(found) for found in AT_LEAST.findall(text)), default=0)
        most = min((int(one or other) for one, other in AT_MOST.findall(text)), default=tokens)
        if re.search(r"higher max|limit was reached|could not finish", text) and not self.room:
            return replace(self, room=True)
        if least > tokens:
            return replace(self, least=least)
        if 0 < most < tokens:
            return replace(self, most=most)
        return replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else "")


def refused(body: str) -> list[str]:
    """The optional parts of a request that a body names: those in its fields for that, otherwise those in its text."""
    try:
        fields = " ".join(_fields(json.loads(body)))
    except (ValueError, RecursionError):
        fields = ""
    in_fields = [name for name, pattern in NAMED.items() if pattern.search(fields.lower())]
    text = texts(body)
    return in_fields or [name for name, pattern in NAMED.items() if pattern.search(text)]


def _fields(value: Any) -> Iterator[str]:
    """What a body names in ``param`` or ``loc``."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key in ("param", "loc"):
                yield from _strings(part)
            elif key not in ECHOED:
                yield from _fields(part)
    elif isinstance(value, list):
        for part in value:
            yield from _fields(part)


def _fewer(text: str, asked: int) -> int:
    """How many alternatives a token a server allows, by its words; 0 where they do not say so."""
    bounds = [int(one or other) for one, other in AT_MOST.findall(text)]
    bounds += [int(one or other) - 1 for one, other in BELOW.findall(text)]
    return max((bound for bound in bounds if 0 < bound < asked), default=0)
