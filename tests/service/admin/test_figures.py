"""GET /health and GET /drift on the private port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import orjson
import pytest
from fakes.drift_rows import reference_sample, sampled_rows, signal_rows
from starlette.testclient import TestClient

from bundle.verify import read_manifest
from monitoring.drift.sample_folder import SampleFolder, drift_folder
from monitoring.drift.watch import DriftPolicy, DriftWatch
from service.admin.app import create_admin_app
from service.admin.figures import Figures
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan

TOKEN = "a-token-for-the-tests"
NOW = 1_790_000_000.0
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def admin(bundle: Path, figures: Figures) -> TestClient:
    app = create_admin_app(Fleet(LineupPlan(bundle)), bundle.parent, TOKEN, figures=figures)
    return TestClient(app, headers=HEADERS)


@contextmanager
def worker(status: int, body: bytes) -> Iterator[str]:
    """The address of something that answers every GET so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_health_is_what_a_worker_says(tiny_bundle: Path) -> None:
    with worker(200, b'{"status": "ok"}') as url:
        assert admin(tiny_bundle, Figures(public_url=url)).get("/health").json() == {"status": "ok"}


def test_without_a_worker_health_says_so(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with worker(500, b"") as failing:
        for url, why in ((f"http://127.0.0.1:{port}", "refused"), (failing, "500"), (None, "no public port")):
            answer = admin(tiny_bundle, Figures(public_url=url)).get("/health")
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:demur:problem:no-worker-answers"
            assert why in answer.json()["detail"]


@pytest.fixture
def concluded(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A data folder in which the drift watch of the tiny bundle has concluded something."""
    manifest = read_manifest(tiny_bundle)
    folder = SampleFolder(drift_folder(tmp_path, f"{manifest.name}:{manifest.version}"))
    folder.append(sampled_rows(signal_rows(260, 0, brightness=0.3), NOW, seed=0))
    assert DriftWatch(folder, reference_sample(), DriftPolicy()).look(NOW) is not None
    return tmp_path


def test_drift_gives_the_conclusion_of_each_bundle_that_answers(tiny_bundle: Path, concluded: Path) -> None:
    (one,) = admin(tiny_bundle, Figures(data_dir=concluded)).get("/drift").json()["bundles"]
    assert one["conclusion"]["alarm"]
    assert [shift["name"] for shift in one["conclusion"]["shifts"] if shift["moved"]] == ["brightness"]
    assert "margin of stage A" in [shift["words"] for shift in one["conclusion"]["shifts"]]
    assert "brightness went from" in one["conclusion"]["sentence"]
    assert one["expected"]


def test_before_the_first_comparison_there_is_no_conclusion(tiny_bundle: Path, tmp_path: Path) -> None:
    (one,) = admin(tiny_bundle, Figures(data_dir=tmp_path)).get("/drift").json()["bundles"]
    assert one["conclusion"] is None
    folder = drift_folder(tmp_path, one["bundle"])
    folder.mkdir(parents=True)
    (folder / "latest.json").write_bytes(orjson.dumps({"at": "never"}))
    (again,) = admin(tiny_bundle, Figures(data_dir=tmp_path)).get("/drift").json()["bundles"]
    assert again == one
