"""Ask an endpoint whether it serves the judge, before any work is spent; no question is put to the model."""

from __future__ import annotations

import threading
from typing import Any, Literal, NamedTuple

from ldr_utils.judges.chat import at
from ldr_utils.judges.endpoint import base_url, needs_key, read_key
from ldr_utils.judges.refusals import kind_of, words
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.text import one_line

SECONDS = 5.0  # that a server may take: a name server knows no time-out of its own
SHOWN = 5  # models of a server that are named where the judge is not among them


class Found(NamedTuple):
    """How a judge's endpoint stands, with the remedy where it does not serve the judge."""

    verdict: Literal["ok", "warn", "fail"]
    detail: str


def look_up(params: JudgeParams) -> Found:
    """Whether the endpoint lists the judge's model (GET ``/models``); takes seconds, never raises.

    The key goes to the endpoint alone: redirections are not followed.
    """
    where, model = params.judge_url or "OpenAI", params.judge_model
    try:
        key = read_key(params)
    except InputError as error:
        return Found("fail", str(error))
    answer = _ask(f"{base_url(params)}/models", key)
    if isinstance(answer, str):
        start = f"start it (vllm serve {model})" if not needs_key(params.judge_url) else "correct judge_url or connect"
        return Found("fail", f"judge_url: {where} does not answer ({answer}); {start}, or run --until answers first")
    status, body, listed = answer
    if listed:
        if model in listed:
            return Found("ok", f"{where} serves {model}")
        has = ", ".join(map(one_line, listed[:SHOWN])) + (
            f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        )
        return Found("fail", f"judge_model: {where} does not serve {model}, but {has}; name one of those")
    said = f"{status}: {words(body, key)}".removesuffix(": ")
    if status in (401, 402, 403) and kind_of(status, body) in ("key", "money"):
        return Found(
            "fail", f"judge_key_env: {where} refuses the key in {params.judge_key_env} ({said}); set a valid one"
        )
    return Found("warn", f"{where} does not say which models it serves ({said}); the first question will tell")


def _ask(url: str, key: str) -> tuple[int, str, list[str]] | str:
    """Status, body and models of a list of models, or why there is none."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(_get(url, key)), daemon=True)
    thread.start()
    thread.join(SECONDS + 1)
    return found[0] if found else f"no answer within {SECONDS:.0f} s"


def _get(url: str, key: str) -> tuple[int, str, list[str]] | str:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(url, headers=headers, timeout=SECONDS, follow_redirects=False)
        body = answer.json() if answer.status_code == 200 else None
    except httpx.HTTPError as error:
        return type(error).__name__
    except (ValueError, RecursionError):
        body = None
    return answer.status_code, answer.text, _names(body)


def _names(body: Any) -> list[str]:
    """Names in a list of models; providers that put a folder before them take them without it."""
    entries = body if isinstance(body, list) else at(body, "data") or at(body, "models")
    known = [at(one, "id") or at(one, "name") for one in entries] if isinstance(entries, list) else []
    return [name.removeprefix("models/") for name in known if isinstance(name, str) and name]
