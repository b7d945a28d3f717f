"""The judge behind an endpoint, against a real HTTP server that fails in every way a network does."""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Answering, serving

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.endpoint import TRIES, EndpointModel
from ldr_utils.judges.open import make_judge
from ldr_utils.judges.prompted import PromptedJudge
from ldr_utils.judges.verdicts import Answer, Case, Verdict
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.records import Asked

KEY = "canary-4f1d9c-never-to-be-seen"
ANSWER = re.compile(r"\[answer(?: [AB])? [0-9a-f]{16}\]\n(.*?)\n\[end", re.DOTALL)


class Handler(Answering, BaseHTTPRequestHandler):
    """One chat completion a request: the longer answer wins with probability 0.8, every answer is a 7 or an 8."""

    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.server.lock:
            self.server.asked[prompt] += 1
            self.server.keys.add(self.headers["Authorization"])
            self.server.requests.append({key: value for key, value in body.items() if key != "messages"})
            fault = self.server.faults.pop(0) if self.server.faults else ""
            refusal = self.server.refuses(body)
        if fault == "dropped":
            self.connection.close()
        elif fault == "time-out":
            time.sleep(1.5)  # the client waits for 0.5
        elif fault == "malformed":
            self.send(200, '{"choices": [{"mess')
        elif fault == "empty":
            self.send(200, json.dumps({"choices": []}))
        elif fault in SENT:
            self.send(200, SENT[fault])
        elif fault:
            self.send(int(fault), json.dumps({"error": {"message": f"no: {self.headers['Authorization']}"}}))
        elif refusal:
            self.send(*refusal)
        elif "logprobs" in body and self.server.logprobs == "rejected":
            self.send(400, json.dumps({"error": {"message": "logprobs is not supported with this model"}}))
        elif "too long" in prompt:
            self.send(400, json.dumps({"error": {"message": "maximum context length exceeded"}}))
        else:
            self.send(200, json.dumps(self.completion(body, prompt)))

    def completion(self, body: dict[str, Any], prompt: str) -> dict[str, Any]:
        texts = ANSWER.findall(prompt)
        if len(texts) == 2:
            best = 0.8 if len(texts[0]) > len(texts[1]) else 0.2 if len(texts[0]) < len(texts[1]) else 0.5
            chances = {"A": best, "B": 1 - best}
        else:
            chances = {"7": 0.75, "8": 0.25}
        likeliest = max(chances, key=lambda label: chances[label])
        message: dict[str, Any] = {"content": next((r for t, r in REPLIES.items() if t in prompt), likeliest)}
        reason = "stop"
        if "forbidden" in prompt:
            message = {"content": None, "refusal": "This cannot be judged."}
        if "filtered" in prompt:
            reason = "content_filter"
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason}
        if body.get("logprobs") and self.server.logprobs == "sent":
            half = {token: p / 2 for label, p in chances.items() for token in (label, f" {label}")}
            top = [{"token": token, "logprob": math.log(p)} for token, p in {**half, "The": 1e-3}.items()]
            choice["logprobs"] = {"content": [{"token": likeliest, "logprob": 0.0, "top_logprobs": top}]}
        return {"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 1}}

    def send(self, status: int, text: str) -> None:
        when = {"Retry-After": "0.1"} if status == 429 else {}
        self.answer(status, text, **{"Content-Type": "application/json"}, **when)


PAGES = ["", "<html><body>429 Too Many Requests</body></html>", "Rate limit reached, please slow down."]


def said(content: Any, reason: str = "stop", **more: Any) -> str:
    """A chat completion with this content."""
    return json.dumps({"choices": [{"message": {"content": content, **more}, "finish_reason": reason}]})


SENT = {
    "nothing": said(None),
    "overloaded": json.dumps({"error": {"message": "upstream overloaded"}}),
    "half-way": json.dumps({"choices": [{"error": {"message": "provider went away"}, "finish_reason": "error"}]}),
    **{f"page {k}": said(page) for k, page in enumerate(PAGES)},
}
REPLIES = {
    "chatty": "A is better, since it is longer.",
    "sorry": "I'm sorry, but I can't help with that.",
    "blank": "\n A ",
    "silent": "",
}


class JudgeServer(ThreadingHTTPServer):
    """Counts how often each prompt was asked; ``faults`` befall the next requests, one each."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.faults: list[str] = []
        self.logprobs = "sent"
        self.requests: list[dict[str, Any]] = []
        self.refuses: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda body: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of the tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(JudgeServer()) as running:
        yield running


def judge(server: JudgeServer, folder: Path, retries: int = 3, **changes: Any) -> PromptedJudge:
    defaults = {"judge": "openai", "judge_model": "long-is-good", "judge_url": server.url, "judge_concurrency": 2}
    params = JudgeParams(**{**defaults, **changes})
    model = EndpointModel(params, timeout=0.5, max_retries=retries, pause=0.01)
    return PromptedJudge(model, VerdictCache(folder / "cache.jsonl"))


def record(text: str) -> Asked:
    return {"id": text, "lang": "en", "prompt": text}


def cases(n: int) -> list[Case]:
    return [Case(record(f"question {k}"), "short" * (k % 3 + 1), "longer") for k in range(n)]


EXPECTED = [Verdict(pytest.approx(p)) for p in (0.2, 0.8, 0.8)]  # type: ignore[arg-type]


def test_probabilities_weigh_verdicts_and_scores(server: JudgeServer, tmp_path: Path) -> None:
    asked = judge(server, tmp_path)
    assert asked.prefer(cases(3)) == EXPECTED
    score = asked.score([Answer(record("question"), "answer")])[0]
    assert score.points == pytest.approx((0.75 * 7 + 0.25 * 8) * 10 / 9)
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize("logprobs", ["missing", "rejected"])
def test_without_probabilities_the_verdict_is_plain(server: JudgeServer, tmp_path: Path, logprobs: str) -> None:
    server.logprobs = logprobs
    assert judge(server, tmp_path, judge_concurrency=1).prefer(cases(3)) == [Verdict(0.0), Verdict(1.0), Verdict(1.0)]
    assert server.asked.total() == 3 + (logprobs == "rejected")


@pytest.mark.parametrize("fault", ["429", "500", "503", "529", "dropped", "time-out", "malformed", "empty", *SENT])
def test_a_passing_fault_changes_nothing(server: JudgeServer, tmp_path: Path, fault: str) -> None:
    server.faults = [fault]
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert server.asked.total() == 3 + 1


def test_all_faults_at_once(server: JudgeServer, tmp_path: Path) -> None:
    server.faults = ["500", "dropped", "malformed", "429", "empty", "time-out"]
    found = judge(server, tmp_path, judge_concurrency=4, retries=6).prefer(cases(12))
    assert found == EXPECTED * 4
    assert server.asked.total() == 12 + 6


def test_nothing_is_asked_twice(server: JudgeServer, tmp_path: Path) -> None:
    first = judge(server, tmp_path)
    first.prefer([*cases(3), *cases(3)])
    assert first.prefer(cases(3)) == EXPECTED
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert set(server.asked.values()) == {1}
    assert judge(server, tmp_path).prefer(cases(5))[:3] == EXPECTED
    assert server.asked.total() == 5


def test_another_model_is_another_judge(server: JudgeServer, tmp_path: Path) -> None:
    judge(server, tmp_path).prefer(cases(3))
    judge(server, tmp_path, judge_model="another").prefer(cases(3))
    assert set(server.asked.values()) == {2}


def test_a_cut_last_line_costs_one_question(server: JudgeServer, tmp_path: Path) -> None:
    judge(server, tmp_path).prefer(cases(3))
    path = tmp_path / "cache.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert server.asked.total() == 4
    assert all(json.loads(line)["status"] == "ok" for line in path.read_text().splitlines())
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert server.asked.total() == 4


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("sorry", "refused"),
        ("forbidden", "refused"),
        ("filtered", "refused"),
        ("chatty", "unparsable"),
        ("silent", "failed"),
        ("too long", "failed"),
    ],
)
def test_what_is_no_verdict_is_counted_by_status(server: JudgeServer, tmp_path: Path, word: str, status: str) -> None:
    odd = Case(record(word), "some answer", "another")
    assert judge(server, tmp_path).prefer([*cases(1), odd])[1] == Verdict(None, status)  # type: ignore[arg-type]
    assert judge(server, tmp_path).prefer([*cases(1), odd])[1] == Verdict(None, status)  # type: ignore[arg-type]
    asked = [n for prompt, n in server.asked.items() if f"]\n{word}\n[" in prompt]
    tries = {"silent": 2 * TRIES, "too long": 2}  # what is no verdict may be asked again
    assert asked == [tries.get(word, 1)]


def test_blanks_around_a_verdict_do_not_matter(server: JudgeServer, tmp_path: Path) -> None:
    server.logprobs = "missing"
    assert judge(server, tmp_path).prefer([Case(record("blank"), "x", "longer")]) == [Verdict(1.0)]


def test_a_judge_without_any_usable_verdict_is_refused(server: JudgeServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'judge_model: .* no usable verdict \(2 unparsable, such as "A is better'):
        judge(server, tmp_path).prefer([Case(record(f"chatty {k}"), "x", "y") for k in range(2)])


def test_budget_stops_with_one_line_and_keeps_what_was_judged(server: JudgeServer, tmp_path: Path) -> None:
    """A verdict costs 0.01 USD here (1,000 tokens), the estimate before is about a third of it."""
    prices: dict[str, Any] = {"judge_price_in": 10.0, "judge_price_out": 30.0, "judge_concurrency": 1}
    with pytest.raises(InputError, match=r"^judge_budget: 0.03 USD are used up") as caught:
        judge(server, tmp_path, judge_budget=0.03, **prices).prefer(cases(10))
    assert "\n" not in str(caught.value)
    first = server.asked.total()
    assert first * 0.01003 + 0.01 > 0.03
    assert first < 10
    with pytest.raises(InputError, match="judge_budget"):  # the budget is the study's, not a run's
        judge(server, tmp_path, judge_budget=0.03, **prices).prefer(cases(10))
    assert server.asked.total() == first
    assert judge(server, tmp_path, judge_budget=1.0, **prices).prefer(cases(10))[:3] == EXPECTED
    assert set(server.asked.values()) == {1}


def test_cost_is_announced_before(server: JudgeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(server, tmp_path, judge_price_in=1000.0).prefer(cases(2))
    said = capsys.readouterr().out
    tokens = sum(map(len, server.asked)) / 4
    assert "2 questions, 2 not yet answered" in said
    assert f"{tokens:,.0f} tokens, {tokens / 1000:.2f} USD" in said


@pytest.mark.parametrize("fault", ["401", "403", "404", "500", "dropped", "malformed"])
def test_lasting_faults_stop_with_one_line_that_never_holds_the_key(
    server: JudgeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """The server repeats the key in its error, as real ones do in part."""
    caplog.set_level(logging.DEBUG)
    asked = judge(server, tmp_path, retries=1, judge_concurrency=1)
    assert asked.prefer(cases(1)) == EXPECTED[:1]
    server.faults = [fault] * 50
    with pytest.raises(InputError) as caught:
        asked.prefer(cases(3))
    message = str(caught.value)
    assert re.match(r"judge_(key_env|model|url): ", message)
    assert "\n" not in message
    seen = "".join(traceback.format_exception(caught.value)) + caplog.text
    seen += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in seen
    assert KEY not in repr(asked.model.__dict__)
    server.faults = []
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert server.asked[next(iter(server.asked))] == 1


def test_missing_key_is_named_unless_the_server_is_here(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_API_KEY")
    with pytest.raises(InputError, match=r"^judge_key_env: JUDGE_API_KEY is not set"):
        EndpointModel(JudgeParams(judge="openai", judge_model="some-model"))
    EndpointModel(JudgeParams(judge="openai", judge_model="some-model", judge_url=server.url))


def test_judge_of_the_params_keeps_its_verdicts_in_the_run_folder(server: JudgeServer, tmp_path: Path) -> None:
    params = JudgeParams(judge="openai", judge_model="m", judge_url=server.url, run_dir=str(tmp_path / "run"))
    assert make_judge(params, ["en"]).prefer(cases(3)) == EXPECTED
    assert make_judge(params, ["en"]).prefer(cases(3)) == EXPECTED
    assert server.asked.total() == 3
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["judge_cache.jsonl"]


# The form of a request


def refusing(name: str, status: int, body: Any, unless: Callable[[Any], bool] = lambda value: False) -> Any:
    """A server that refuses every request with a part ``name``."""
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda sent: (status, text) if name in sent and not unless(sent[name]) else None


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def detail(*loc: str) -> dict[str, Any]:
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", *loc], "msg": "Extra inputs are not permitted"}]}


SERVERS: dict[str, tuple[int, Callable[[str], Any]]] = {
    "OpenAI": (
        400,
        lambda name: error(f"Unsupported parameter: '{name}' is not supported with this model.", param=name, code="u"),
    ),
    "Azure": (400, lambda name: error(f"Unrecognized request argument supplied: {name}", param=None, code=None)),
    "vLLM": (
        400,
        lambda name: {"object": "error", "message": f"[{{'type': 'extra_forbidden', 'loc': ('body', '{name}')}}]"},
    ),
    "llama.cpp": (500, lambda name: error(f"Unsupported param: {name}", code=500, type="server_error")),
    "Mistral": (422, lambda name: detail(name) | {"object": "error"}),
    "TGI": (422, lambda name: {"error": f"Input validation error: `{name}` is not supported", "error_type": "v"}),
    "LiteLLM": (
        400,
        lambda name: error(f"litellm.UnsupportedParamsError: does not support parameters: ['{name}'], for model=m."),
    ),
    "OpenRouter": (
        400,
        lambda name: error("Provider returned error", metadata={"raw": json.dumps(detail(name))}),
    ),
    "Anthropic": (400, lambda name: {"type": "error"} | error(f"`{name}` is deprecated for this model.")),
    "plain": (400, lambda name: f"Bad Request: unknown field {name}"),
}


@pytest.mark.parametrize("name", ["max_tokens", "temperature", "logprobs"])
@pytest.mark.parametrize("wording", SERVERS)
def test_a_refused_part_costs_one_request_and_no_verdict(
    server: JudgeServer, tmp_path: Path, wording: str, name: str
) -> None:
    status, body = SERVERS[wording]
    server.refuses = refusing(name, status, body(name))
    found = judge(server, tmp_path, judge_concurrency=8).prefer(cases(9))
    assert found == (EXPECTED if name != "logprobs" else [Verdict(0.0), Verdict(1.0), Verdict(1.0)]) * 3
    assert server.asked.total() == 9 + 1
    assert not any(name in request for request in server.requests[1:])
    assert all(("max_completion_tokens" in request) == (name == "max_tokens") for request in server.requests[1:])


def test_three_parts_refused_one_after_the_other_cost_three_requests(server: JudgeServer, tmp_path: Path) -> None:
    parts = [
        refusing(name, 400, error(f"{name} is not supported")) for name in ("max_tokens", "temperature", "logprobs")
    ]
    server.refuses = lambda sent: next((found for part in parts if (found := part(sent))), None)
    assert judge(server, tmp_path, judge_concurrency=8).prefer(cases(9))[:3] == [
        Verdict(0.0),
        Verdict(1.0),
        Verdict(1.0),
    ]
    assert server.asked.total() == 9 + 3


def test_fewer_alternatives_serve_as_well(server: JudgeServer, tmp_path: Path) -> None:
    body = {"object": "error", "message": "Requested sample logprobs of 20, which is greater than max allowed: 5"}
    server.refuses = refusing("top_logprobs", 400, body, unless=lambda top: top <= 5)
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert [request["top_logprobs"] for request in server.requests] == [20, 5, 5, 5]


def test_a_temperature_that_has_to_be_positive_is_nearly_nought(server: JudgeServer, tmp_path: Path) -> None:
    body = {"error": "Input validation error: `temperature` must be strictly positive"}
    server.refuses = refusing("temperature", 422, body, unless=lambda temperature: temperature > 0)
    assert judge(server, tmp_path).prefer(cases(3)) == EXPECTED
    assert 0 < server.requests[-1]["temperature"] < 0.1


def test_template_parameters_are_sent_until_they_are_refused(server: JudgeServer, tmp_path: Path) -> None:
    told: Any = {"judge_template_kwargs": {"enable_thinking": False}}
    judge(server, tmp_path, **told).prefer(cases(1))
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": False}
    server.refuses = refusing("chat_template_kwargs", 400, error("Unknown name: chat_template_kwargs"))
    assert judge(server, tmp_path, **told).prefer(cases(3)) == EXPECTED
    assert server.asked.total() == 3 + 1


def test_what_a_template_is_told_is_part_of_the_judge(server: JudgeServer, tmp_path: Path) -> None:
    judge(server, tmp_path).prefer(cases(1))
    judge(server, tmp_path, judge_template_kwargs={"enable_thinking": False}).prefer(cases(1))
    assert server.asked.total() == 2


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (
            400,
            error("Invalid value: 'user'.", param="messages[0].role"),
            r"judge_url: .* form .*400: Invalid value: 'user'",
        ),
        (400, "Bad Request", r"judge_url: .*400: Bad Request"),
        (400, error("The model `m` does not exist"), r"judge_model: .*400: The model `m` does not exist"),
        (400, error("The model `m` has been decommissioned"), r"judge_model: .*decommissioned"),
        (401, error("Incorrect API key provided"), r"judge_key_env: .*JUDGE_API_KEY \(401: Incorrect API key"),
        (403, error("You do not have access to model m"), r"judge_model: .*403: You do not have access"),
        (402, error("Insufficient credits"), r"judge_url: .*402: Insufficient credits"),
        (404, {"error": "model 'm' not found"}, r"judge_model: .*404: model 'm' not found"),
        (405, "Method Not Allowed", r"judge_url: .*405: Method Not Allowed"),
        (410, {"message": "This model was retired"}, r"judge_model: .*410: This model was retired"),
        (413, "<html>Request Entity Too Large</html>", r"judge_url: .*413: Request Entity Too Large"),
        (
            429,
            error("You exceeded your quota", code="insufficient_quota"),
            r"judge_url: .*429: You exceeded your quota",
        ),
        (200, error("no credits left", code=402), r"judge_url: .*no credits left"),
    ],
)
def test_200_questions_to_a_server_that_will_never_answer_cost_one_request(
    server: JudgeServer, tmp_path: Path, status: int, body: Any, line: str
) -> None:
    server.refuses = lambda sent: (status, body if isinstance(body, str) else json.dumps(body))
    with pytest.raises(InputError, match=rf"^{line}") as caught:
        judge(server, tmp_path, judge_concurrency=16).prefer(cases(200))
    assert "\n" not in str(caught.value)
    assert server.asked.total() == 1


def test_a_server_that_stays_overloaded_says_so_in_the_end(server: JudgeServer, tmp_path: Path) -> None:
    server.refuses = lambda sent: (200, json.dumps(error("upstream overloaded")))
    with pytest.raises(InputError, match=r"^judge_url: .* gave no answer after 3 tries \(upstream overloaded\)"):
        judge(server, tmp_path, retries=2, judge_concurrency=16).prefer(cases(200))
    assert server.asked.total() == 3


def test_an_odd_question_among_good_ones_is_counted(server: JudgeServer, tmp_path: Path) -> None:
    """The same words stop a server's first question, for nothing shows yet that the form is right."""
    asked = judge(server, tmp_path)
    assert asked.prefer(cases(3)) == EXPECTED
    server.refuses = lambda sent: (400, json.dumps(error("cannot decode the request")))
    other = Case(record("another"), "short", "longer")
    assert asked.prefer([*cases(3), other])[3] == Verdict(None, "failed")
    with pytest.raises(InputError, match=r"^judge_url: .*cannot decode the request"):
        judge(server, tmp_path).prefer([other])


def test_a_server_that_only_sends_pages_is_left_after_three_questions(server: JudgeServer, tmp_path: Path) -> None:
    server.refuses = lambda sent: (200, said(PAGES[1]))
    with pytest.raises(InputError, match=r"^judge_url: .*without a reply .*429 Too Many Requests"):
        judge(server, tmp_path, judge_concurrency=16).prefer(cases(200))
    assert len(server.asked) == 3
    assert not (tmp_path / "cache.jsonl").exists()


# What comes back


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"prompt_tokens": -1, "completion_tokens": "many"}},
        {"usage": "none"},
        {"logprobs": {"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": None}]}]}},
        {"logprobs": {"content": [{"token": 7}]}},
        {"logprobs": {"tokens": ["A"], "token_logprobs": [-0.1]}},
        {"logprobs": "none"},
        {"finish_reason": 3},
    ],
)
def test_odd_optional_parts_do_not_cost_the_verdict(server: JudgeServer, tmp_path: Path, odd: dict[str, Any]) -> None:
    body = json.loads(said("A"))
    body["choices"][0] |= odd
    server.refuses = lambda sent: (200, json.dumps(body | {key: odd[key] for key in odd if key == "usage"}))
    assert judge(server, tmp_path).prefer(cases(1)) == [Verdict(1.0)]
    assert server.asked.total() == 1


def test_a_probability_of_nought_is_one(server: JudgeServer, tmp_path: Path) -> None:
    top = [{"token": "A", "logprob": 0.0}, {"token": "B", "logprob": -math.inf}]
    choice = {"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", "top_logprobs": top}]}}
    server.refuses = lambda sent: (200, json.dumps({"choices": [choice]}))
    assert judge(server, tmp_path).prefer(cases(1)) == [Verdict(1.0)]


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        (["**", "A", "**"], 1),
        (["Answer", ":", " A"], 2),
        (["<think>", "A", "B", "</think>", "\n\n", "A"], 5),
        (["<think>", "B", "</", "think", ">", "\n\n", "**A", "**"], 6),
        (["[[", "A", "]]"], 1),
        (["Ａ"], 0),
        (["a", "."], 0),
    ],
)
def test_probabilities_are_read_where_the_label_stands(
    server: JudgeServer, tmp_path: Path, tokens: list[str], place: int
) -> None:
    other = tokens[place].replace("A", "B").replace("Ａ", "Ｂ").replace("a", "b")
    top = [{"token": tokens[place], "logprob": math.log(0.7)}, {"token": other, "logprob": math.log(0.3)}]
    content = [{"token": token, "top_logprobs": [{"token": "B", "logprob": 0.0}]} for token in tokens]
    content[place] = {"token": tokens[place], "top_logprobs": top}
    choice = {"message": {"content": "".join(tokens)}, "finish_reason": "stop", "logprobs": {"content": content}}
    server.refuses = lambda sent: (200, json.dumps({"choices": [choice]}))
    assert judge(server, tmp_path).prefer(cases(1))[0].preference == pytest.approx(0.7)


def test_content_in_parts_is_read_without_its_thoughts(server: JudgeServer, tmp_path: Path) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "B"}]}, {"type": "text", "text": "A"}]
    server.refuses = lambda sent: (200, said(parts))
    assert judge(server, tmp_path).prefer(cases(1)) == [Verdict(1.0)]


# Judges that think


def thinking(sent: dict[str, Any], needs: int = 100) -> dict[str, Any]:
    """A completion of a model that thinks for ``needs`` tokens before it says A."""
    if sent.get("max_tokens", 10**6) < needs:
        return {"message": {"content": None, "reasoning_content": "Let me see"}, "finish_reason": "length"}
    return {"message": {"content": "A", "reasoning_content": "Let me see. B?"}, "finish_reason": "stop"}


INLINE: dict[str, Callable[[bool], tuple[str, str]]] = {
    "in the reply": lambda room: (
        ("<think>Let me see. B?</think>\n\nA", "stop") if room else ("<think>Let me", "length")
    ),
    "opened by the template": lambda room: (
        ("Let me see. B?</think>\n\nA", "stop") if room else ("Let me see", "length")
    ),
}


def test_a_judge_that_thinks_is_given_room_after_one_question(server: JudgeServer, tmp_path: Path) -> None:
    server.refuses = lambda sent: (200, json.dumps({"choices": [thinking(sent)]}))
    assert judge(server, tmp_path, judge_concurrency=4, judge_max_tokens=500).prefer(cases(3)) == [Verdict(1.0)] * 3
    assert [request["max_tokens"] for request in server.requests] == [8, 500, 500, 500]


@pytest.mark.parametrize("how", INLINE)
def test_thoughts_are_cut_wherever_they_stand(server: JudgeServer, tmp_path: Path, how: str) -> None:
    server.refuses = lambda sent: (200, said(*INLINE[how](sent["max_tokens"] > 100)))
    assert judge(server, tmp_path).prefer(cases(3)) == [Verdict(1.0)] * 3
    assert {request["max_tokens"] for request in server.requests[-3:]} == {2048}


def test_a_judge_that_only_chats_is_not_given_room(server: JudgeServer, tmp_path: Path) -> None:
    server.refuses = lambda sent: (200, said("Both answers have their merits, but", "length"))
    with pytest.raises(InputError, match="no usable verdict"):
        judge(server, tmp_path).prefer(cases(3))
    assert sorted(request["max_tokens"] for request in server.requests) == [8, 8, 8, 2048]


def test_thoughts_without_end_are_named_at_the_first_question(server: JudgeServer, tmp_path: Path) -> None:
    server.refuses = lambda sent: (200, json.dumps({"choices": [thinking(sent, needs=10**5)]}))
    with pytest.raises(InputError, match=r"^judge_max_tokens: .*2048 tokens were used up .*judge_template_kwargs"):
        judge(server, tmp_path, judge_concurrency=8).prefer(cases(200))
    assert server.asked.total() == 2
