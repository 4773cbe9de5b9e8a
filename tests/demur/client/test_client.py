"""The client with the running service, and with servers that fail on purpose."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A
from fakes.waiting import eventually

from demur.client.client import Client, DeadlinePassed, Prediction, Problem, Refused, Unreachable

Images = Callable[..., bytes]


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    settings = {"quota_rate": 5, "quota_burst": 4}
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


def test_predict_feedback_and_rolling(
    service: ServiceProcess, tmp_path: Path, make_colour_image: Images
) -> None:
    image = tmp_path / "street.jpg"
    image.write_bytes(make_colour_image(1, ANSWERED_BY_A))
    with Client(service.url, api_key="figures") as client:
        answered = client.predict(image, deadline=10.0, request_id="frame-1")
        assert (answered.request_id, answered.label, answered.answered) == ("frame-1", 1, True)
        assert answered.bundle.startswith("tiny:")
        assert answered.guarantee is not None
        assert (answered.guarantee.kind, answered.guarantee.alpha) == ("pac", 0.01)
        unsure = client.predict(make_colour_image(0, ABSTAINED), unit_id="camera-7")
        assert (unsure.label, unsure.reason, unsure.prediction_set) == (None, "ambiguous", (0, 1))
        for label in (1, 1.0, np.int64(1), np.float32(1.0), "red"):
            client.feedback("frame-1", label)
        with pytest.raises(Refused, match="name of a class"):
            client.feedback("frame-1", "purple")
        eventually(lambda: client.rolling().labelled >= 1)
        rolling = client.rolling()
        assert (rolling.all.acc.accuracy, rolling.answered.mcc.n) == (1.0, 1)


def test_a_batch(service: ServiceProcess, make_colour_image: Images) -> None:
    with Client(service.url, api_key="batch") as client:
        good, bad = client.predict_batch([make_colour_image(1, ANSWERED_BY_A), b"no image"])
        assert isinstance(good, Prediction)
        assert good.label == 1
        assert isinstance(bad, Problem)
        assert (bad.kind, bad.field) == ("not-an-image", "images[1]")


def test_a_refusal_names_what_was_wrong(service: ServiceProcess) -> None:
    with Client(service.url, api_key="refusal") as client, pytest.raises(Refused) as refusal:
        client.predict(b"no image")
    assert (refusal.value.problem.kind, refusal.value.problem.status) == ("not-an-image", 400)


def test_a_body_that_is_refused_before_it_is_read(service: ServiceProcess) -> None:
    with Client(service.url, api_key="large") as client, pytest.raises(Refused) as refusal:
        client.predict(bytes(60 * 2**20))
    assert refusal.value.problem.kind == "body-too-large"


def test_the_client_waits_for_its_quota(service: ServiceProcess, make_colour_image: Images) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    with Client(service.url, api_key="patient") as client:
        began = time.monotonic()
        assert all(client.predict(image).answered for _ in range(8))
        # Four at once; the fifth only after a Retry-After of at least one second.
        assert time.monotonic() - began >= 1.0


@contextmanager
def scripted(*script: tuple[int, dict[str, str], bytes] | None) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that sends these responses in turn; None closes the connection without one."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append({**self.headers, "body": body.decode("utf-8", "replace")})
            step = script[len(seen) - 1]
            if step is None:
                self.close_connection = True
                return
            status, headers, content = step
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OK = (202, {}, b"{}")
FULL = json.dumps({"type": "urn:demur:problem:queue-full", "status": 503, "detail": "full"}).encode()


def test_a_full_queue_and_a_broken_connection_are_retried() -> None:
    with (
        scripted((503, {"Retry-After": "1"}, FULL), None, (503, {}, b"<html>"), OK) as (url, seen),
        Client(url, backoff=0.01) as client,
    ):
        began = time.monotonic()
        client.feedback("a", 1, deadline=600.0)
        assert time.monotonic() - began >= 1.0
    assert len(seen) == 4
    left = [int(headers["X-Deadline-Ms"]) for headers in seen]
    assert left == sorted(left, reverse=True)
    assert left[1] + 1000 <= left[0] <= 600_000


def test_the_client_does_not_wait_beyond_its_deadline() -> None:
    """What may be tried again in an hour is not waited for, not even until the deadline."""
    with scripted((429, {"Retry-After": "3600"}, FULL)) as (url, seen), Client(url) as client:
        with pytest.raises(DeadlinePassed) as late:
            client.feedback("a", 1, deadline=1800.0)
        assert isinstance(late.value.__cause__, Refused)
    assert len(seen) == 1


def test_a_retry_keeps_its_id() -> None:
    with scripted(None, (400, {}, b"")) as (url, seen), Client(url, backoff=0.01) as client:
        with pytest.raises(Refused) as refusal:
            client.predict(b"x")
        assert refusal.value.problem.status == 400
    assert seen[0]["X-Request-Id"] == seen[1]["X-Request-Id"]


def test_the_client_gives_up_after_its_retries() -> None:
    with (
        scripted(*[(503, {}, FULL)] * 3) as (url, seen),
        Client(url, retries=2, backoff=0.01) as client,
        pytest.raises(Refused, match="503 queue-full: full"),
    ):
        client.feedback("a", 1)
    assert len(seen) == 3


def test_a_silent_server_takes_no_longer_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with Client(f"http://127.0.0.1:{silent.getsockname()[1]}") as client, pytest.raises(DeadlinePassed):
            client.feedback("a", 1, deadline=0.4)
        assert time.monotonic() - began > 0.3


def test_a_port_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", retries=1, backoff=0.01) as client, pytest.raises(Unreachable):
        client.feedback("a", 1)


def test_an_answer_of_another_service() -> None:
    with scripted((200, {}, b"<html>")) as (url, _), Client(url) as client, pytest.raises(Unreachable):
        client.predict(b"x")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "", "http://"])
def test_a_malformed_url(url: str) -> None:
    with pytest.raises(ValueError, match="url is"):
        Client(url)


@pytest.mark.parametrize(
    ("label", "sent"), [(1, 1), (1.0, 1), (np.int64(1), 1), (np.float32(0.0), 0), ("red", "red"), (0.5, 0.5)]
)
def test_a_label_is_sent_as_a_class_number_or_name(label: float | str, sent: float | str) -> None:
    with scripted(OK) as (url, seen), Client(url) as client:
        client.feedback("a", label)
    assert json.loads(seen[0]["body"])["label"] == sent
    assert type(json.loads(seen[0]["body"])["label"]) is type(sent)


def test_the_service_takes_the_name_of_a_class(service: ServiceProcess) -> None:
    with Client(service.url, api_key="names") as client:
        client.feedback("frame-2", "red")
        with pytest.raises(Refused, match="name of a class"):
            client.feedback("frame-3", "rouge")
