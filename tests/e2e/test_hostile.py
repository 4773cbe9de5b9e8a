"""Clients that send too much, too slowly or invalid bytes over a socket: bounded in time and memory, answered
if an answer can be read, and harmless to other clients."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.service_process import ServiceProcess

from service.http.connection import LINGER, LINGER_BYTES

Images = Callable[..., bytes]

HEAD_TIMEOUT, BODY_TIMEOUT = 0.6, 0.8


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that waits long for its clients, as a test's may be slow themselves."""
    settings = {"header_timeout": 120, "body_timeout": 120, "max_image_bytes": 1_000_000}
    with ServiceProcess(
        tiny_bundle, tmp_path_factory.mktemp("hostile"), redis_url="off", **settings
    ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that waits for its clients for less than a second."""
    settings = {"header_timeout": HEAD_TIMEOUT, "body_timeout": BODY_TIMEOUT}
    with ServiceProcess(
        tiny_bundle, tmp_path_factory.mktemp("hasty"), redis_url="off", **settings
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(service: ServiceProcess, make_colour_image: Images) -> Iterator[None]:
    """After every attack the service works as before."""
    yield
    with service.client() as client:
        answer = client.post(
            "/predict", content=make_colour_image(1, 0.9), headers={"Content-Type": "image/jpeg"}
        )
        assert answer.json()["label"] == 1
        assert client.get("/health").json()["queue"]["running"] == 0
    with socket.create_connection(service.address):
        pass


class Wire:
    """A raw connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=150)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False if the other side has closed."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def rest(self) -> bytes:
        """All bytes until the other side closes."""
        received = b""
        try:
            while chunk := self.socket.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received

    def problem(self) -> dict[str, Any]:
        """The problem document of the only answer, after which the connection closes."""
        head, _, body = self.rest().partition(b"\r\n\r\n")
        assert b"application/problem+json" in head.lower(), head
        assert b"connection: close" in head.lower()
        document: dict[str, Any] = json.loads(body)
        assert head.startswith(b"HTTP/1.1 %d " % document["status"])
        return document


@pytest.fixture
def wire(service: ServiceProcess) -> Iterator[Wire]:
    with Wire(service.address) as opened:
        yield opened


@pytest.fixture
def hasty_wire(hasty: ServiceProcess) -> Iterator[Wire]:
    with Wire(hasty.address) as opened:
        yield opened


def post(path: str = "/predict", **headers: Any) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", *lines, "", ""]
    ).encode()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (post("/nowhere", Content_Length=300_000), 404),
        (post("/predict", Content_Length=300_000, Content_Encoding="gzip"), 415),
        (post("/predict", Content_Length=300_000, Connection="close", Content_Encoding="gzip"), 415),
        (post("/predict", Content_Length=300_000, X_Long="x" * 200_000), 431),
    ],
)
def test_an_answer_before_the_body_is_not_lost_with_the_connection(
    wire: Wire, head: bytes, status: int
) -> None:
    """A connection that closes with unread bytes is reset, and the answer may be lost with it."""
    assert wire.send(head)
    for _ in range(3):
        time.sleep(0.1)
        assert wire.send(b"x" * 100_000)
    answer = b""
    while chunk := wire.socket.recv(65536):  # ConnectionResetError fails the test
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_a_client_that_goes_on_sending_after_the_answer_is_cut_off(wire: Wire) -> None:
    began = time.monotonic()
    wire.send(post("/nowhere", Content_Length=10**9))
    while wire.send(b"x"):
        time.sleep(0.05)
    assert time.monotonic() - began >= LINGER


def test_a_client_that_sends_much_after_the_answer_is_cut_off(wire: Wire) -> None:
    sent = 0
    wire.send(post("/nowhere", Content_Length=10**9))
    while sent < 10**9 and wire.send(b"x" * 2**20):
        sent += 2**20
    # The bytes that it may send, and those in the socket buffers.
    assert sent < 4 * LINGER_BYTES


def test_a_head_byte_by_byte(hasty_wire: Wire) -> None:
    began = time.monotonic()
    for byte in post(Content_Length=5):
        if not hasty_wire.send(bytes([byte])) or time.monotonic() - began > 3 * HEAD_TIMEOUT:
            break
        time.sleep(0.05)
    assert hasty_wire.problem()["type"] == "urn:demur:problem:head-too-slow"


def test_a_silent_connection(hasty_wire: Wire) -> None:
    assert hasty_wire.rest() == b""


@pytest.mark.parametrize(
    "head",
    [
        post(X_Long="x" * 200_000),
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    ],
    ids=["one long header", "a long path", "many headers"],
)
def test_a_huge_head(wire: Wire, head: bytes) -> None:
    wire.send(head)
    assert wire.problem()["type"] == "urn:demur:problem:head-too-large"


def test_an_endless_head(wire: Wire) -> None:
    sent = 0
    wire.send(b"GET /livez HTTP/1.1\r\nX-Endless: ")
    while sent < 50_000_000 and wire.send(b"x" * 8192):
        sent += 8192
    assert sent < 50_000_000


def test_an_endless_body(wire: Wire) -> None:
    wire.send(post(Transfer_Encoding="chunked"))
    sent = 0
    while sent < 200_000_000 and wire.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n"):
        sent += 0x10000
    assert sent < 200_000_000


def test_an_endless_body_on_a_route_without_one(wire: Wire) -> None:
    wire.send(post("/livez", Transfer_Encoding="chunked"))
    sent = 0
    while sent < 200_000_000 and wire.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n"):
        sent += 0x10000
    assert sent < 200_000_000


def test_a_body_that_stops(hasty_wire: Wire) -> None:
    hasty_wire.send(post(Content_Length=1000) + b"only this")
    document = hasty_wire.problem()
    assert document["type"] == "urn:demur:problem:body-too-slow"
    assert document["limit"] == BODY_TIMEOUT


def test_a_body_that_drips(hasty_wire: Wire) -> None:
    sent = 0
    hasty_wire.send(post(Content_Length=1000))
    while sent < 1000 and hasty_wire.send(b"x"):
        sent += 1
        time.sleep(0.05)
    assert sent < 1000


def test_a_declared_length_beyond_the_limit_is_refused_unread(wire: Wire) -> None:
    wire.send(post(Content_Length=10**12))
    document = wire.problem()
    assert document["type"] == "urn:demur:problem:body-too-large"
    assert document["value"] == 10**12


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        post(Content_Length="-1"),
        post(Content_Length="abc"),
        post(Content_Length="5", Transfer_Encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        post(Transfer_Encoding="chunked") + b"zz\r\nhello\r\n",
        b"GET /livez HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX: \x00\r\n\r\n",
    ],
    ids=["tls", "garbage", "version", "negative", "text", "both", "chunk", "space", "zero"],
)
def test_bytes_that_are_not_http(wire: Wire, data: bytes) -> None:
    wire.send(data)
    assert wire.problem()["status"] == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_request_without_one_host_is_refused(wire: Wire, head: bytes) -> None:
    wire.send(head)
    assert wire.problem()["type"] == "urn:demur:problem:malformed-http"


def test_a_request_of_http_1_0_needs_no_host(wire: Wire) -> None:
    wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
    assert wire.rest().startswith(b"HTTP/1.1 200")


def test_a_body_longer_than_declared(wire: Wire, make_colour_image: Images) -> None:
    image = make_colour_image(1, 0.9)
    wire.send(post(Content_Length=len(image)) + image + b"and more that is no request\r\n\r\n")
    received = wire.rest()
    assert received.count(b"HTTP/1.1 200 ") <= 1
    assert b"HTTP/1.1 400 " in received


def test_a_client_that_leaves_in_the_middle(service: ServiceProcess) -> None:
    for _ in range(20):
        with Wire(service.address) as wire:
            wire.send(post(Content_Length=100_000) + b"x" * 5000)
    with service.client() as client:
        text = client.get("/metrics").text
    assert 'route="/predict",status="500"' not in text


def test_requests_in_one_piece_are_answered_in_order(wire: Wire, make_colour_image: Images) -> None:
    requests = b""
    for label in (1, 0, 1):
        image = make_colour_image(label, 0.9)
        requests += post(Content_Length=len(image)) + image
    requests += b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    wire.send(requests)
    received = wire.rest()
    assert received.count(b"HTTP/1.1 200 ") == 4
    assert [received.index(b'"red"') < received.index(b'"blue"')] == [True]


@pytest.mark.parametrize("padding", [0, 700_000])
def test_a_body_in_many_pieces_is_read_whole(wire: Wire, make_colour_image: Images, padding: int) -> None:
    """Even one of which the application takes the beginning before the end has arrived."""
    image = make_colour_image(1, 0.9, encoding="PNG") + bytes(padding)
    wire.send(post(Content_Length=len(image), Connection="close"))
    piece = len(image) // 7
    for start in range(0, len(image), piece):
        wire.send(image[start : start + piece])
        time.sleep(0.02)
    answer = wire.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"label":1' in answer


def test_an_answer_without_a_body_is_sent_at_once(wire: Wire) -> None:
    wire.send(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    head = wire.socket.recv(65536)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")


def test_a_client_that_expects_100_continue(wire: Wire, make_colour_image: Images) -> None:
    image = make_colour_image(1, 0.9)
    wire.send(post(Content_Length=len(image), Expect="100-continue"))
    assert wire.socket.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(image)
    answer = wire.socket.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    # Head and body arrive in one packet.
    assert answer.endswith(b"}")


def test_many_slow_clients_do_not_delay_the_others(service: ServiceProcess) -> None:
    slow = [socket.create_connection(service.address) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Le")
        # None of them is given up before two minutes.
        with service.client() as client:
            began = time.monotonic()
            assert client.get("/livez").status_code == 200
            assert time.monotonic() - began < 60
    finally:
        for connection in slow:
            connection.close()


def test_a_full_queue_refuses_and_health_goes_on(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    image = make_colour_image(1, 0.4, size=(1200, 1600))
    answers: list[tuple[int, str | None]] = []
    with ServiceProcess(tiny_bundle, tmp_path, redis_url="off", cores=1, queue_limit=2) as service:

        def send() -> None:
            with service.client() as client:
                for _ in range(5):
                    answer = client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"})
                    answers.append((answer.status_code, answer.headers.get("retry-after")))

        senders = [threading.Thread(target=send) for _ in range(8)]
        for sender in senders:
            sender.start()
        with service.client() as client:
            while any(sender.is_alive() for sender in senders):
                assert client.get("/livez").status_code == 200
                time.sleep(0.01)
        for sender in senders:
            sender.join()
        assert {status for status, _ in answers} == {200, 503}
        assert all(int(after or 0) >= 1 for status, after in answers if status == 503)
