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
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.endpoint import EndpointModel
from ldr_utils.judges.open import make_judge
from ldr_utils.judges.prompted import PromptedJudge
from ldr_utils.judges.verdicts import Answer, Case, Verdict
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.records import Asked

KEY = "canary-4f1d9c-never-to-be-seen"
ANSWER = re.compile(r"\[answer(?: [AB])? [0-9a-f]{16}\]\n(.*?)\n\[end", re.DOTALL)


class Handler(BaseHTTPRequestHandler):
    """One chat completion a request: the longer answer wins with probability 0.8, every answer is a 7 or an 8."""

    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.server.lock:
            self.server.asked[prompt] += 1
            self.server.keys.add(self.headers["Authorization"])
            fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "dropped":
            self.connection.close()
        elif fault == "time-out":
            time.sleep(1.5)  # the client waits for 0.5
        elif fault == "malformed":
            self.send(200, '{"choices": [{"mess')
        elif fault == "empty":
            self.send(200, json.dumps({"choices": []}))
        elif fault:
            self.send(int(fault), json.dumps({"error": {"message": f"no: {self.headers['Authorization']}"}}))
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
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of the tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with JudgeServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def judge(server: JudgeServer, folder: Path, retries: int = 3, **changes: Any) -> PromptedJudge:
    defaults = {"judge": "openai", "judge_model": "long-is-good", "judge_url": server.url, "judge_concurrency": 2}
    params = JudgeParams(**{**defaults, **changes})
    return PromptedJudge(EndpointModel(params, timeout=0.5, max_retries=retries), VerdictCache(folder / "cache.jsonl"))


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


@pytest.mark.parametrize("fault", ["429", "500", "503", "dropped", "time-out", "malformed", "empty"])
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
        ("silent", "unparsable"),
        ("too long", "failed"),
    ],
)
def test_what_is_no_verdict_is_counted_by_status(server: JudgeServer, tmp_path: Path, word: str, status: str) -> None:
    odd = Case(record(word), "some answer", "another")
    assert judge(server, tmp_path).prefer([*cases(1), odd])[1] == Verdict(None, status)  # type: ignore[arg-type]
    assert judge(server, tmp_path).prefer([*cases(1), odd])[1] == Verdict(None, status)  # type: ignore[arg-type]
    asked = [n for prompt, n in server.asked.items() if f"]\n{word}\n[" in prompt]
    assert asked == [2 if status == "failed" else 1]  # what cost nothing may be asked again


def test_blanks_around_a_verdict_do_not_matter(server: JudgeServer, tmp_path: Path) -> None:
    server.logprobs = "missing"
    assert judge(server, tmp_path).prefer([Case(record("blank"), "x", "longer")]) == [Verdict(1.0)]


def test_a_judge_without_any_usable_verdict_is_refused(server: JudgeServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judge_model: .* no usable verdict \(2 unparsable\)"):
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
