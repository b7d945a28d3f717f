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
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.chat import Body, read_reply
from ldr_utils.judges.prompted import Question
from ldr_utils.judges.reply import Reply
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams

CHARACTERS_PER_TOKEN = 4  # of English; other languages take more tokens, so that the estimate is low for them
MAX_TOKENS = 8  # a label is one; a few more tell a refusal from a verdict
TOP_LOGPROBS = 20  # the most that OpenAI and vLLM give
TRIES = 4  # for an answer whose body is no chat completion
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


class EndpointModel:
    """A model asked over HTTP, several questions at a time.

    The client backs off exponentially with jitter, honours Retry-After (up to two minutes), and tries again after
    429, 5xx, a time-out and a lost connection. Where that is not enough the stage stops with one line: no figure
    depends on the network. A question that the server turns down (too long, say) counts as ``failed``.

    Parameters
    ----------
    params : JudgeParams
        Model, endpoint, name of the key's variable, concurrency, prices and budget.
    timeout : float
        Seconds for one try.
    max_retries : int
        Tries after the first.

    Raises
    ------
    InputError
        When there is no usable key (see ``read_key``).
    """

    def __init__(self, params: JudgeParams, timeout: float = 120.0, max_retries: int = 8) -> None:
        from openai import OpenAI

        key = read_key(params)
        self.name = f"openai:{params.judge_model}"
        self.params = params
        self._logprobs = True  # until the server rejects them
        self._client = OpenAI(
            api_key=key or "none",
            base_url=params.judge_url or "https://api.openai.com/v1",
            timeout=timeout,
            max_retries=max_retries,
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
                while stop is None and waiting and len(flying) < self.params.judge_concurrency:
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

    def _announce(self, missing: list[Question], total: int) -> None:
        tokens = sum(len(question.prompt) for question in missing) / CHARACTERS_PER_TOKEN
        cost = sum(self._estimate(question) for question in missing)
        print(f"{self.name}: {total} questions, {len(missing)} not yet answered: {tokens:,.0f} tokens, {cost:.2f} USD")

    def _estimate(self, question: Question) -> float:
        return self._cost(len(question.prompt) / CHARACTERS_PER_TOKEN, 1)

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
        """Ask one question until the body of the answer can be read; unreadable ones are taken to cost the estimate."""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.0))
            try:
                body = self._body(question)
            except ValidationError:
                continue
            if body is None:
                return Reply("failed")
            usage, reply = body.usage, read_reply(body, question.labels)
            cost = self._cost(usage.prompt_tokens, usage.completion_tokens) if usage else self._estimate(question)
            return replace(reply, usd=cost + attempt * self._estimate(question))
        raise InputError(f"judge_url: {self._where()} sent {TRIES} answers that are no chat completion; correct it")

    def _body(self, question: Question) -> Body | None:
        """What the server sent; None where it turned the question down."""
        import openai

        try:
            return Body.model_validate_json(self._post(question))
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            name = self.params.judge_key_env  # the server's own words may hold parts of the key
            raise InputError(
                f"judge_key_env: {self._where()} refused the key in {name} ({error.status_code}); set a valid one"
            ) from None
        except openai.NotFoundError:
            raise InputError(
                f"judge_model: {self._where()} has no {self.params.judge_model} (404); correct it or judge_url"
            ) from None
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if not (self._logprobs and "logprobs" in str(error)):
                return None
            self._logprobs = False
        except openai.APIError as error:
            raise InputError(
                f"judge_url: {self._where()} gave no answer after {1 + self._client.max_retries} tries"
                f" ({type(error).__name__}); run again later, what was judged is kept"
            ) from None
        return self._body(question)

    def _post(self, question: Question) -> str:
        wanted: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if self._logprobs else {}
        answer = self._client.chat.completions.with_raw_response.create(
            model=self.params.judge_model,
            messages=[{"role": "user", "content": question.prompt}],
            temperature=0,
            max_tokens=MAX_TOKENS,
            **wanted,
        )
        return answer.text

    def _where(self) -> str:
        return self.params.judge_url or "OpenAI"
