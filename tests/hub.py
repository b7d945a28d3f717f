"""A hub on this machine: the HTTP that huggingface_hub speaks to download files and to upload folders."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from conftest import serving

COMMIT = "c0ffee" + 34 * "0"


class Hub(ThreadingHTTPServer):
    """Serves the repositories in ``files`` (owner/name to path to bytes), and keeps what is uploaded there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}  # large files, by checksum, until a commit names them
        self.created: list[dict[str, Any]] = []
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, folder: Path) -> None:
        """Publish a folder."""
        self.files[name] = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def environment(self, home: Path, token: str = "") -> dict[str, str]:
        """What a process needs to take this for the hub."""
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        return own | {"HF_HUB_OFFLINE": "0", "HF_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1"}


def local_hub() -> AbstractContextManager[Hub]:
    return serving(Hub())


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._file(head=True)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/api/whoami-v2":
            known = self.headers.get("Authorization", "").removeprefix("Bearer ") == "hf_good"
            self._json(
                {"name": "owner", "type": "user"} if known else {"error": "Invalid token"}, 200 if known else 401
            )
        elif path.startswith("/api/"):
            self._json({"error": f"not served: {path}"}, 404)
        else:
            self._file(head=False)

    def do_PUT(self) -> None:
        data = self._body()
        self.server.blobs[hashlib.sha256(data).hexdigest()] = data
        self._send(200, b"", {})

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        self.server.tokens.add(self.headers.get("Authorization", ""))
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.server.created.append(asked)
            self.server.files.setdefault(f"owner/{asked['name']}", {})
            self._json({"url": f"{self.server.url}/owner/{asked['name']}", "id": f"owner/{asked['name']}"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            large = {file["path"]: file["path"].endswith(".safetensors") for file in files}
            modes = [
                {"path": p, "uploadMode": "lfs" if big else "regular", "shouldIgnore": False}
                for p, big in large.items()
            ]
            self._json({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**own, "actions": {"upload": {"href": f"{self.server.url}/blob/{own['oid']}", "header": {}}}}
                for own in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
        elif "/commit/main" in path:
            self._commit(re.sub(r"^/api/(models|datasets)/|/commit/main$", "", path), body)
        else:
            self._json({"error": f"not served: {path}"}, 404)

    def _commit(self, name: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[name][value["path"]] = self.server.blobs[value["oid"]]
        where = f"{self.server.url}/{name}/commit/{COMMIT}"
        self._json({"commitUrl": where, "commitOid": COMMIT, "pullRequestUrl": None})

    def _file(self, head: bool) -> None:
        found = re.fullmatch(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(urlsplit(self.path).path))
        name, revision, file = found.groups() if found else ("", "", "")
        if name not in self.server.files:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if revision not in ("main", COMMIT):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        data = self.server.files[name].get(file)
        commit = {"X-Repo-Commit": COMMIT}
        if data is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"} | commit)
        etag = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        return self._send(200, data, commit | etag, head)

    def _json(self, value: Any, status: int = 200, kind: str = "application/json") -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": kind})

    def _send(self, status: int, data: bytes, headers: dict[str, str], head: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, format: str, *args: Any) -> None:
        pass
