"""Local stand-in for huggingface.co: serves the part of its HTTP interface that demur uses."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Commit of the only revision of every repository"""


@contextmanager
def small_hub(
    kind: Literal["datasets", "models"],
    name: str,
    files: Mapping[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[str]]:
    """Serve the files of one repository to huggingface_hub; yields the list of requested paths."""
    requested: list[str] = []
    prefix = f"/{'datasets/' if kind == 'datasets' else ''}{name}/resolve/"

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            path = self.path.split("?")[0]
            if path.startswith(f"/api/{kind}/{name}/tree/"):
                self._json([_entry(file, data) for file, data in files.items()])
            elif path.startswith(f"/api/{kind}/{name}"):
                self._json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]})
            elif path.startswith(prefix) and (file := path[len(prefix) :].split("/", 1)[1]) in files:
                self._send(200, files[file], {"ETag": f'"{hashlib.sha256(files[file]).hexdigest()}"'})
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET  # noqa: N815 - http.server calls it by this name

        def _json(self, values: object) -> None:
            self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for key, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    try:
        yield requested
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _entry(file: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
