"""A judge behind an OpenAI-compatible endpoint: OpenAI itself, another provider, ``vllm serve``, a llama.cpp server."""

from __future__ import annotations

import os
import random
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.chat import Completion, read_completion, read_reply
from ldr_utils.judges.prompted import Question, full_name
from ldr_utils.judges.refusals import Form, Kind, kind_of, masked, may_be_form, refused, words
from ldr_utils.judges.reply import Reply, parse_label
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.progress import say

CHARACTERS_PER_TOKEN = 4  # of English; other languages take more tokens, so that the estimate is low for them
TRIES = 4  # for an answer whose body is no chat completion, or no reply of the model
LONGEST_WAIT = 120.0  # seconds that a server may have us wait at once
LOST = 3  # first questions that may remain without any reply
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


def needs_key(url: str) -> bool:
    """Whether the endpoint is another machine's; an empty ``url`` is OpenAI's."""
    return urlsplit(url).hostname not in LOCAL_HOSTS


def read_key(params: JudgeParams) -> str:
    """The judge's key from the environment; empty where none is needed.

    Raises
    ------
    InputError
        When it is not set and the endpoint is not on this machine, or no key looks like it (never shown).
    """
    key = os.environ.get(params.judge_key_env, "")
    if not key and needs_key(params.judge_url):
        raise InputError(f"judge_key_env: {params.judge_key_env} is not set; export the judge's key in it")
    if not re.fullmatch(r"[!-~]*", key):  # the HTTP client would quote it when it refuses the header
        raise InputError(f"judge_key_env: {params.judge_key_env} holds blanks or no plain ASCII; set the bare key")
    return key


def base_url(params: JudgeParams) -> str:
    """Where the endpoint's paths begin."""
    return params.judge_url.rstrip("/") or "https://api.openai.com/v1"


class _Answer(NamedTuple):
    """What came back from one request; without a status nothing did, and ``body`` says why."""

    status: int
    body: str
    wait: float | None = None  # seconds that the server asks for


class EndpointModel:
    """A model asked over HTTP, several questions at a time once the first has been answered.

    The first question goes alone. A parameter that the server refuses is left out or replaced for good, so that it
    costs one request, and a refusal that nothing can be done about stops the stage at that question, with one line that
    has the server's words. Rate limits, overloads, time-outs and lost connections are waited for, with exponential
    backoff and jitter, or as long as the server asks (up to two minutes at once); an empty reply or a server's page in
    place of one is asked again. A question that is too long, or that the server turns down while it takes others,
    counts as ``failed``.

    Parameters
    ----------
    params : JudgeParams
        Model, endpoint, name of the key's variable, concurrency, prices and budget.
    timeout : float
        Seconds for one try.
    max_retries : int
        Tries after the first.
    pause : float
        Seconds before the second try.

    Raises
    ------
    InputError
        When there is no usable key (see ``read_key``).
    """

    def __init__(self, params: JudgeParams, timeout: float = 120.0, max_retries: int = 8, pause: float = 0.5) -> None:
        from openai import OpenAI

        self.name = full_name(params)
        self.params = params
        self.max_retries, self.pause = max_retries, pause
        self._form, self._lock = Form(), Lock()
        self._answered = False  # whether any question was, in the form at hand
        self._lost = 0
        self._client = OpenAI(
            api_key=read_key(params) or "none", base_url=base_url(params), timeout=timeout, max_retries=0
        )

    def replies(self, questions: Mapping[str, Question], cache: VerdictCache) -> Iterator[tuple[str, Reply]]:
        """Replies as they come (see ``prompted.JudgeModel``).

        Raises
        ------
        InputError
            When the budget would be exceeded or the server cannot be used; what is in flight is waited for first.
        """
        waiting = deque(key for key in questions if key not in cache)
        self._announce([questions[key] for key in waiting], len(questions))
        flying: dict[Future[Reply], str] = {}
        stop: BaseException | None = None
        with ThreadPoolExecutor(self.params.judge_concurrency) as pool:
            while True:
                while stop is None and waiting and len(flying) < self._at_once:
                    at_stake = [questions[key] for key in (*flying.values(), waiting[0])]
                    stop = self._over_budget(cache.spent, at_stake, len(waiting))
                    if stop is None:
                        key = waiting.popleft()
                        flying[pool.submit(self._reply, questions[key])] = key
                if not flying:
                    break
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    key = flying.pop(future)
                    stop = stop or future.exception()
                    if future.exception() is None:
                        yield key, future.result()
        if stop is not None:
            raise stop

    @property
    def _at_once(self) -> int:
        return self.params.judge_concurrency if self._answered else 1

    def _announce(self, missing: list[Question], total: int) -> None:
        tokens = sum(len(question.prompt) for question in missing) / CHARACTERS_PER_TOKEN
        cost = sum(self._estimate(question) for question in missing)
        print(f"{self.name}: {total} questions, {len(missing)} not yet answered: {tokens:,.0f} tokens, {cost:.2f} USD")

    def _estimate(self, question: Question) -> float:
        written = self.params.judge_max_tokens if self._form.room else 1
        return self._cost(len(question.prompt) / CHARACTERS_PER_TOKEN, written)

    def _cost(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * self.params.judge_price_in + tokens_out * self.params.judge_price_out) / 1e6

    def _over_budget(self, spent: float, at_stake: list[Question], left: int) -> InputError | None:
        budget = self.params.judge_budget
        if not budget or spent + sum(self._estimate(question) for question in at_stake) <= budget:
            return None
        return InputError(
            f"judge_budget: {budget:g} USD are used up ({spent:.4f} spent, {left} questions left);"
            " raise it and run again, what was judged is kept"
        )

    def _reply(self, question: Question) -> Reply:
        """Ask a question until there is a reply, or none to be had; unreadable ones are taken to cost the estimate."""
        busy = odd = 0
        while True:
            form = self._form
            answer = self._ask(question, form)
            found = _completion(answer)
            if isinstance(found, Completion) and not found.is_hiccup:
                if self._is_cut(question, found, form) and self._adopt(form, replace(form, room=True), "it thinks"):
                    continue
                if found.out_of_tokens:
                    return self._without_end(question)
                return self._priced(question, found, odd)
            if answer.status == 200 and not isinstance(found, str):
                odd += 1
                if odd == TRIES:
                    return self._without_reply(answer, found)
                self._wait(odd)
                continue
            kind = kind_of(answer.status, answer.body, answer.wait is not None)
            if may_be_form(kind, answer.status, answer.body):
                better = form.without(answer.body, form.arguments(question, self.params))
                if self._adopt(form, better, answer.body):
                    continue
            if kind != "busy":
                return self._turned_down(kind, answer)
            busy += 1
            if busy > self.max_retries:
                raise self._fault("judge_url", f"gave no answer after {busy} tries", answer, "run again later")
            self._wait(busy, answer.wait)

    def _is_cut(self, question: Question, found: Completion, form: Form) -> bool:
        """Whether a reply ended amid thoughts; where that is not clear, the first of all is tried with room."""
        if not found.cut or form.room or found.thinks:
            return found.cut and not form.room
        if self._answered or parse_label(found.text, question.labels):
            return False
        again = _completion(self._ask(question, replace(form, room=True)))
        return isinstance(again, Completion) and again.thinks

    def _ask(self, question: Question, form: Form) -> _Answer:
        import openai

        asked: Any = {"model": self.params.judge_model, "messages": question.messages}
        try:
            sent = self._client.chat.completions.with_raw_response.create(
                **asked, **form.arguments(question, self.params)
            )
            return _Answer(200, sent.text)
        except openai.APIStatusError as error:
            return _Answer(error.status_code, error.response.text, _seconds(error.response.headers.get("retry-after")))
        except openai.APIError as error:
            return _Answer(0, type(error).__name__)

    def _adopt(self, sent: Form, better: Form, why: str) -> bool:
        """Whether the question may be asked again in another form: the ``better`` one, or what another thread found."""
        with self._lock:
            if self._form is not sent:
                return True
            if better == sent:
                return False
            self._form = better
        changes = [name for name, value in vars(better).items() if value != getattr(sent, name)]
        shown = ", ".join(f"{name} {getattr(better, name) or 'not sent'}" for name in changes)
        say(f"{self.name}: asked in another form from now on ({shown}): {words(why, self._client.api_key)}")
        return True

    def _priced(self, question: Question, found: Completion, odd: int) -> Reply:
        self._answered, self._lost = True, 0
        cost = self._cost(*found.tokens) if found.tokens else self._estimate(question)
        reply = read_reply(found, question.labels, question.sampled)
        said = masked(reply.said, self._client.api_key)
        return replace(reply, usd=cost + odd * self._estimate(question), said=said)

    def _without_end(self, question: Question) -> Reply:
        """Nothing but thoughts came: the first time that is the judge's nature, later the question's."""
        tokens = self._form.arguments(question, self.params).get(self._form.limit, "all its")
        said = f"{tokens} tokens were used up before a verdict"
        if self._answered:
            return Reply("failed", said=said)
        raise InputError(
            f"judge_max_tokens: {self.params.judge_model}: {said}; raise judge_max_tokens, or switch its thoughts off"
            " (judge_template_kwargs)"
        )

    def _without_reply(self, answer: _Answer, found: Completion | None) -> Reply:
        """What came ``TRIES`` times was no reply of the model; a body that is no completion stops the stage."""
        if found is None:
            raise self._fault("judge_url", f"sent {TRIES} answers that are no chat completion", answer, "correct it")
        with self._lock:
            self._lost += 1
        if not self._answered and self._lost >= LOST:
            what = f"left its first {LOST} questions without a reply"
            raise self._fault("judge_url", what, answer, "run again later, or name another judge")
        return Reply("failed", said=words(found.text, self._client.api_key) or "empty replies")

    def _turned_down(self, kind: Kind, answer: _Answer) -> Reply:
        """A question that is at fault itself is counted; anything else ends the stage."""
        if kind == "filtered":
            return Reply("refused", said=words(answer.body, self._client.api_key))
        if kind == "long" or (kind == "form" and self._answered):
            return Reply("failed", said=words(answer.body, self._client.api_key))
        names = ", ".join(refused(answer.body))
        model = self.params.judge_model
        key, what, remedy = {
            "key": (
                "judge_key_env",
                f"refused the key in {self.params.judge_key_env}",
                "set a valid one that may use the model",
            ),
            "model": ("judge_model", f"does not serve {model}", "correct it or judge_url"),
            "money": ("judge_url", "asks for money", "top the account up, or name another judge"),
            "form": ("judge_url", f"refuses the form of a question{names and f': {names}'}", "name another judge"),
        }.get(kind, ("judge_url", "cannot be asked", "correct it"))
        raise self._fault(key, what, answer, remedy)

    def _fault(self, key: str, what: str, answer: _Answer, remedy: str) -> InputError:
        status = f"{answer.status}" if answer.status not in (0, 200) else ""
        said = words(answer.body, self._client.api_key)
        because = ": ".join(part for part in (status, said) if part)
        where = self.params.judge_url or "OpenAI"
        return InputError(f"{key}: {where} {what} ({because}); {remedy}, what was judged is kept")

    def _wait(self, tries: int, asked: float | None = None) -> None:
        jitter = random.uniform(0.75, 1.0)
        backoff = min(self.pause * 2 ** (tries - 1), 8.0) * jitter
        time.sleep(backoff if asked is None else min(max(asked, 0.0), LONGEST_WAIT))


def _completion(answer: _Answer) -> Completion | str | None:
    """The completion in an answer, the server's complaint, or None where it is neither."""
    if answer.status != 200:
        return answer.body
    try:
        return read_completion(answer.body)
    except (ValueError, RecursionError):
        return None


def _seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header; a date is as good as none: the backoff serves."""
    try:
        return None if header is None else float(header)
    except ValueError:
        return None
