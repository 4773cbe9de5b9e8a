"""Quotas: limits per client, in bounded memory whatever keys and addresses are sent."""

from __future__ import annotations

import base64
import math
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
from fakes.tiny_bundle import ANSWERED_BY_A
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.errors import QuotaExceeded
from service.http.quotas import Quotas

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(quotas: Quotas, client: bytes) -> bool:
    try:
        quotas.admit(client)
    except QuotaExceeded:
        return False
    return True


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 8)), max_size=30),
    rate=st.floats(0.1, 10),
    burst=st.integers(1, 10),
)
def test_no_client_gets_more_than_its_quota(steps: list[tuple[float, int]], rate: float, burst: int) -> None:
    clock = Clock()
    quotas = Quotas(rate, burst, 100, clock)
    passed = 0
    for pause, tries in steps:
        clock.now += pause
        passed += sum(admitted(quotas, b"a") for _ in range(tries))
        assert passed <= burst + rate * clock.now + 1e-6


def test_a_client_that_waits_as_long_as_required_is_admitted() -> None:
    clock = Clock()
    quotas = Quotas(0.4, 2, 100, clock)
    assert [admitted(quotas, b"a") for _ in range(3)] == [True, True, False]
    with pytest.raises(QuotaExceeded) as refusal:
        quotas.admit(b"a")
    assert refusal.value.retry_after == 3
    assert admitted(quotas, b"b")
    clock.now = 3.0
    assert admitted(quotas, b"a")


def test_the_images_of_a_batch_are_charged_afterwards() -> None:
    clock = Clock()
    quotas = Quotas(1.0, 5, 100, clock)
    quotas.admit(b"a")
    quotas.charge(b"a", 9)
    clock.now = 5.5
    assert not admitted(quotas, b"a")
    clock.now = 6.0
    assert admitted(quotas, b"a")


def test_invented_keys_run_out() -> None:
    clock = Clock()
    quotas = Quotas(1.0, 3, 50, clock)
    admitted_in_turn = [admitted(quotas, str(number).encode()) for number in range(10_000)]
    # Most of the names that can be told apart are admitted once, and none when all cells are taken.
    assert all(admitted_in_turn[:50])
    assert not any(admitted_in_turn[-1000:])
    clock.now = 10.0
    assert admitted(quotas, b"new")


def test_few_clients_share_both_cells() -> None:
    clock = Clock()
    quotas = Quotas(1.0, 1, 2_000, clock)
    refused = sum(not admitted(quotas, str(number).encode()) for number in range(2_000))
    # Both cells are taken for the n-th client with (n / 16,000)^2: 10.4 on average; six standard deviations.
    assert refused <= 10.4 + 6 * math.sqrt(10.4)


def _admit(quotas: Quotas, times: int, found: Connection) -> None:
    found.send(sum(admitted(quotas, b"a") for _ in range(times)))


def test_workers_share_a_quota() -> None:
    spawn = multiprocessing.get_context("spawn")
    quotas = Quotas(0.001, 30, 100)
    ours, theirs = spawn.Pipe()
    workers = [spawn.Process(target=_admit, args=(quotas, 20, theirs)) for _ in range(2)]
    for worker in workers:
        worker.start()
    passed = [ours.recv() for _ in workers]
    for worker in workers:
        worker.join()
    assert 20 < sum(passed) <= 34
    assert not admitted(quotas, b"a")


def test_over_http(make_client: Callable[..., TestClient], make_colour_image: Images) -> None:
    client = make_client(quota_rate=0.01, quota_burst=3)
    image = make_colour_image(1, ANSWERED_BY_A)
    batch = {"images": [base64.b64encode(image).decode()] * 3}

    def predict(key: str) -> int:
        return client.post("/predict", content=image, headers={**JPEG, "X-Api-Key": key}).status_code

    assert [predict("one") for _ in range(4)] == [200, 200, 200, 429]
    assert predict("two") == 200
    # The batch's images count one by one.
    assert client.post("/predict/batch", json=batch).status_code == 200
    answer = client.post("/predict/batch", json=batch)
    assert answer.status_code == 429
    assert answer.json()["type"] == "urn:demur:problem:quota-exceeded"
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert client.post("/v2/models/tiny/infer", json={}).status_code == 429
    feedback = client.post("/feedback", json={"request_id": "a", "label": 1})
    assert feedback.status_code == 429
    # Routes that report the state of the service have no quota.
    assert client.get("/health").status_code == 200


def test_without_a_quota_nothing_is_refused(
    make_client: Callable[..., TestClient], make_colour_image: Images
) -> None:
    client = make_client()
    image = make_colour_image(1, ANSWERED_BY_A)
    statuses = {client.post("/predict", content=image, headers=JPEG).status_code for _ in range(60)}
    assert statuses == {200}
