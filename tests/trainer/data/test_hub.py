"""Data sets on the hub, against a small server that speaks the part of its interface that we use."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainer.data.hub import shards_of_split
from trainer.data.source import HubUnreachable, NoImages, SourceNotFound, open_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PREFIX = "/datasets/someone/roadwork/resolve/"


@pytest.fixture
def hub(
    write_parquet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Serves someone/roadwork; yields the paths that were asked for."""
    names = (
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000.parquet",
    )
    files = {
        name: write_parquet(name, n=index + 1, label=[index % 2] * (index + 1)).read_bytes()
        for index, name in enumerate(names)
    }
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith("/api/datasets/someone/roadwork"):
                listing = [{"rfilename": name} for name in ("README.md", *names)]
                body = json.dumps({"id": "someone/roadwork", "sha": COMMIT, "siblings": listing}).encode()
                self._send(200, body, {"Content-Type": "application/json"})
            elif (
                self.path.startswith(PREFIX) and (name := self.path[len(PREFIX) :].split("/", 1)[1]) in files
            ):
                self._send(200, files[name], {"ETag": f'"{hashlib.sha256(files[name]).hexdigest()}"'})
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET  # noqa: N815 - http.server asks for it by this name

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_shards_of_one_split_become_a_source(hub: list[str], tmp_path: Path) -> None:
    source = open_source("hub:someone/roadwork")
    assert source.labels.tolist() == [0, 1, 1]
    assert source.read(2).startswith(b"\x89PNG")
    assert len(open_source("hub:someone/roadwork/test")) == 3
    assert any("train-00001" in path for path in hub)


def test_what_the_hub_does_not_have_is_told(hub: list[str]) -> None:
    with pytest.raises(NoImages, match="no parquet file of the split 'dev' among its"):
        open_source("hub:someone/roadwork/dev")
    with pytest.raises(HubUnreachable, match=r"someone/else could not be fetched .*check its name"):
        open_source("hub:someone/else")
    with pytest.raises(SourceNotFound, match="no name that a data set"):
        open_source("hub:some one/road work")


def test_a_hub_out_of_reach_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachable, match=r"could not be fetched .*use parquet:FOLDER$"):
        open_source("hub:natix-network-org/roadwork")


def test_splits_are_told_by_folder_or_by_name() -> None:
    files = ["README.md", "data/train-0.parquet", "data/test-0.parquet", "train/a.parquet", "x.parquet"]
    assert shards_of_split(files, "train") == ["data/train-0.parquet", "train/a.parquet"]
    assert shards_of_split(files, "test") == ["data/test-0.parquet"]
