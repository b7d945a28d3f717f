"""What several test files share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ldr_utils.study.paths import ROOT

S = TypeVar("S", bound=ThreadingHTTPServer)


# The params files of the project; `ldr new` puts those of a user beside them.
SHIPPED = [
    path
    for path in sorted((ROOT / "params").glob("*.yaml"))
    if not path.read_text(encoding="utf-8").startswith("# Made by ldr new")
]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real evaluation data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("LDR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set LDR_DATA_DIR)")
    return folder


def run_smoke(out: Path, *extra: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """``ldr run params/smoke.yaml`` of a clone, as a user runs it, without a word to the network."""
    command = [sys.executable, "-m", "ldr_utils.cli", "run", "params/smoke.yaml", "--out", str(out), *extra]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke study; whoever changes it takes a copy."""
    out = tmp_path_factory.mktemp("runs") / "smoke"
    done = run_smoke(out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


class Answering(BaseHTTPRequestHandler):
    """A handler of a local server that says nothing to the terminal."""

    def answer(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(server: S) -> Iterator[S]:
    """A local server at work."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


CANARY = "sk-canary-9b1e77d4c2-secret"


class Server(ThreadingHTTPServer):
    """An endpoint that answers A, or fails as told and repeats the key in every way that it can."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys: list[str] = []
        self.faults: list[str] = []
        self.elsewhere = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(Answering, BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "")
        self.server.keys.append(key)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "redirect":
            self.answer(307, "", Location=f"{self.server.elsewhere}/chat/completions")
        elif fault == "malformed":
            self.answer(200, f"<html>{key}")
        elif fault:
            self.answer(int(fault), json.dumps({"error": {"message": f"Incorrect API key: {key}"}}))
        else:
            label = "7" if "one digit" in body["messages"][0]["content"] else "A"
            self.answer(200, json.dumps({"choices": [{"message": {"content": label}}], "id": key}))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    monkeypatch.setenv("JUDGE_API_KEY", CANARY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Server()) as server, serving(Server()) as other:
        server.elsewhere = other.url
        yield server, other
