"""Before a run: whether the judge's endpoint is there and serves the model, in seconds, and what that is told as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY, Answering, Server, serving

from ldr_utils.commands import doctor
from ldr_utils.commands.device import GIB, Device
from ldr_utils.commands.preflight import check_inputs, check_judge, check_run_folder
from ldr_utils.commands.shapes import KNOWN
from ldr_utils.judges import lookup
from ldr_utils.judges.lookup import look_up
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams, StudyParams
from ldr_utils.study.stages import BY_NAME, ancestors, places


class Handler(Answering, BaseHTTPRequestHandler):
    server: Listing

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        status, text, headers = self.server.answer
        self.answer(status, text, **headers)


class Listing(ThreadingHTTPServer):
    """Says which models it serves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.answer: tuple[int, str, dict[str, str]] = (200, json.dumps({"data": [{"id": "m"}, {"id": "n"}]}), {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listing]:
    monkeypatch.setenv("JUDGE_API_KEY", CANARY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Listing()) as running:
        yield running


def judge(url: str, model: str = "m", **more: Any) -> JudgeParams:
    return JudgeParams(judge="openai", judge_model=model, judge_url=url, **more)


def study(url: str, model: str = "m", **more: Any) -> StudyParams:
    return StudyParams(judge="openai", judge_model=model, judge_url=url, **more)


def test_a_model_that_is_served_is_found(listing: Listing) -> None:
    assert look_up(judge(listing.url)) == ("ok", f"{listing.url} serves m")
    assert listing.asked == [("/v1/models", f"Bearer {CANARY}")]


@pytest.mark.parametrize(
    "body",
    [
        {"object": "list", "data": [{"id": "m"}]},
        {"models": [{"name": "m", "model": "m"}]},
        [{"id": "m", "type": "chat"}],
        {"data": [{"id": "models/m"}]},
    ],
)
def test_lists_come_in_several_shapes(listing: Listing, body: Any) -> None:
    listing.answer = (200, json.dumps(body), {})
    assert look_up(judge(listing.url)).verdict == "ok"


def test_a_model_that_is_not_served_is_told_with_those_that_are(listing: Listing) -> None:
    verdict, detail = look_up(judge(listing.url, "gone"))
    assert verdict == "fail"
    assert "judge_model: " in detail
    assert "does not serve gone, but m, n; name one of those" in detail


@pytest.mark.parametrize(
    ("status", "body", "verdict", "said"),
    [
        (404, "Not Found", "warn", "404: Not Found"),
        (501, "", "warn", "501"),
        (200, "<html>", "warn", "200"),
        (200, json.dumps({"data": []}), "warn", "200"),
        (200, json.dumps({"data": "odd"}), "warn", "200"),
        (401, json.dumps({"error": {"message": f"bad key {CANARY}"}}), "fail", "refuses the key in JUDGE_API_KEY (401"),
    ],
)
def test_other_answers(listing: Listing, status: int, body: str, verdict: str, said: str) -> None:
    listing.answer = (status, body, {})
    found = look_up(judge(listing.url))
    assert found.verdict == verdict
    assert said in found.detail
    assert CANARY not in found.detail


def test_a_redirection_does_not_take_the_key_along(listing: Listing, servers: tuple[Server, Server]) -> None:
    other, _ = servers
    listing.answer = (307, "", {"Location": f"{other.url}/models"})
    assert look_up(judge(listing.url)).verdict == "warn"
    assert other.keys == []


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, detail = look_up(judge("http://localhost:9/v1", "org/model"))
    assert verdict == "fail"
    assert "judge_url: http://localhost:9/v1 does not answer (ConnectError)" in detail
    assert "vllm serve org/model" in detail
    assert "--until answers" in detail


def test_a_server_that_hangs_is_not_waited_for(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "SECONDS", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as silent:  # takes the connection and never reads from it
        found = look_up(judge(f"http://127.0.0.1:{silent.server_port}/v1"))
    assert (found.verdict, "ReadTimeout" in found.detail) == ("fail", True)


# The doctor and the run


def test_the_doctor_asks_for_both_judges(listing: Listing) -> None:
    params = study(listing.url, second_judge="openai", second_judge_model="gone")
    found = [doctor.check_endpoint(own) for own in doctor.endpoint_judges(params)]
    assert [(check.name, check.verdict) for check in found] == [("judge", "ok"), ("judge", "fail")]
    assert doctor.endpoint_judges(StudyParams()) == []


def test_a_run_asks_before_it_works(listing: Listing, tmp_path: Path) -> None:
    check_judge(study(listing.url), tmp_path, "report")
    with pytest.raises(InputError, match=r"^judge_model: .* does not serve gone, but m, n"):
        check_judge(study(listing.url, "gone"), tmp_path, "report")


def test_a_run_that_ends_before_any_judging_does_not_ask(listing: Listing, tmp_path: Path) -> None:
    for until in ("data", "training", "answers", "mgsm"):
        check_judge(study(listing.url, "gone"), tmp_path, until)
    assert listing.asked == []


def test_a_run_whose_judging_is_done_does_not_ask(listing: Listing, tmp_path: Path) -> None:
    params = study(listing.url, "gone")
    for one in places(params):
        (tmp_path / one.manifest).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.manifest).touch()
    check_judge(params, tmp_path, "report")
    assert listing.asked == []


def test_a_server_that_tells_nothing_is_mentioned(
    listing: Listing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing.answer = (404, "Not Found", {})
    check_judge(study(listing.url), tmp_path, "report")
    assert "does not say which models it serves" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gib", "changes", "verdict", "said"),
    [
        (22, {}, "ok", "weights 14.2 GiB"),
        (22, {"judge_batch_size": 64}, "fail", "set judge_batch_size: "),
        (10, {}, "fail", "use a smaller model"),
    ],
)
def test_a_local_judge_is_planned_as_the_base_model_is(
    gib: int, changes: dict[str, Any], verdict: str, said: str
) -> None:
    params = StudyParams(judge="local", judge_model="someone/some-model", evaluation_max_new_tokens=1024, **changes)
    device = Device("A10G", (8, 6), ["sm_80"], "13.0", "bfloat16", gib * GIB, 24 * GIB)
    check = doctor.check_judging(params, KNOWN["qwen2-7b-instruct"], device)
    assert (check.name, check.verdict) == ("memory: judging", verdict), check.detail
    assert said in check.detail
    assert doctor.check_judging(params, None, device).verdict == "warn"


def test_a_local_judge_that_is_not_there_stops_a_run_before_it_works(tmp_path: Path) -> None:
    params = StudyParams(judge="local", judge_model="models/nothing")
    with pytest.raises(InputError, match=r"^judge_model: .*models/nothing does not exist"):
        check_inputs(params)
    (tmp_path / "broken").mkdir()
    with pytest.raises(InputError, match=r"^judge_model: .*no config.json"):
        check_inputs(params.model_copy(update={"judge_model": str(tmp_path / "broken")}))


def test_the_doctor_looks_at_a_local_judge_too(tmp_path: Path) -> None:
    found = {check.name: check for check in doctor.diagnose(StudyParams(judge="local", judge_model="models/micro"))}
    assert (found["judge"].verdict, found["memory: judging"].verdict) == ("ok", "ok")


def test_a_judge_may_be_checked_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "judge_cache.jsonl").touch()
    (tmp_path / "judge_check").mkdir()
    check_run_folder(tmp_path)


# The GPU is free while an API judges


@pytest.mark.parametrize(("kind", "gpu"), [("openai", 0), ("local", 1)])
def test_judging_holds_the_gpu_only_where_the_judge_is_on_it(kind: Any, gpu: int) -> None:
    params = StudyParams(judge=kind, judge_model="m", judge_url="http://localhost:9/v1", mt_bench_dir="questions")
    judging = [one for one in places(params) if issubclass(one.stage.schema, JudgeParams)]
    assert {one.stage.name for one in judging} == {"premise", "x_alpacaeval", "mt_bench"}
    assert {int(one.stage.gpu(params)) for one in judging} == {gpu}


def test_no_training_waits_for_a_verdict() -> None:
    def behind(one: Any) -> set[str]:
        return {one.stage.name}.union(*(behind(read) for read in one.reads(StudyParams())))

    judges = {name for name, stage in BY_NAME.items() if issubclass(stage.schema, JudgeParams)}
    for one in places(StudyParams(arms=["lidr", "sft", "no_nll"])):
        if one.stage.name in ("training", "generation", "translation", "answers", "pairs"):
            assert not behind(one) & judges, one
    assert not ancestors("training") & judges
