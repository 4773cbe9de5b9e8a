"""Weights from the hub, against a small server that speaks the part of its interface that we use."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer

from trainer.models import TransformerConfig
from trainer.models import pretrained as rooms
from trainer.models.backbones import build_transformer, family_of
from trainer.models.pretrained import HubUnavailable, open_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/dinov3-tiny"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serves someone/dinov3-tiny with a pickle beside its weights; yields the paths that were asked for."""
    folder = save_tiny_transformer("dinov3", tmp_path / "weights")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path = self.path.split("?")[0]
            prefix = f"/{NAME}/resolve/"
            if path.startswith(f"/api/models/{NAME}/tree/"):
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
                self._send(200, json.dumps(tree).encode(), {})
            elif path.startswith(f"/api/models/{NAME}"):
                listing = [{"rfilename": name} for name in files]
                self._send(200, json.dumps({"id": NAME, "sha": COMMIT, "siblings": listing}).encode(), {})
            elif path.startswith(prefix) and (name := path[len(prefix) :].split("/", 1)[1]) in files:
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
    rooms._fetch.cache_clear()
    yield asked
    rooms._fetch.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_come_from_the_hub_without_its_pickles(hub: list[str], tmp_path: Path) -> None:
    assert family_of(f"hub:{NAME}") == "dinov3"
    config = TransformerConfig(weights=f"hub:{NAME}", adapt="lora")
    backbone = build_transformer("dinov3", config, 32).eval()
    assert backbone.weights == NAME
    assert backbone.has_adapter
    local = TransformerConfig(weights=f"folder:{tmp_path / 'weights'}", adapt="head")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = build_transformer("dinov3", local, 32).eval()(x)
        torch.testing.assert_close(backbone(x), expected, atol=1e-5, rtol=0.0)
    assert any("model.safetensors" in path for path in hub)
    assert not any("pytorch_model.bin" in path for path in hub)


def test_they_are_asked_for_once_a_process_and_by_revision(hub: list[str]) -> None:
    open_weights(f"hub:{NAME}@{COMMIT}")
    count = len(hub)
    assert any(COMMIT in path for path in hub)
    open_weights(f"hub:{NAME}@{COMMIT}")
    assert len(hub) == count


def test_a_name_that_the_hub_does_not_have_is_one_sentence(hub: list[str]) -> None:
    with pytest.raises(HubUnavailable, match=r"someone/else could not be fetched .*use folder:PATH$"):
        open_weights("hub:someone/else")
