"""A model that computes without end on some images: the worker is replaced, and no other request is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.forged_bundle import forge
from fakes.service_process import ServiceProcess, alive
from fakes.tiny_bundle import colour_image, looping_model, write_tiny_bundle
from fakes.waiting import eventually

JPEG = {"Content-Type": "image/jpeg"}
USUAL, ENDLESS = colour_image(1, 0.9), colour_image(2, 0.9)


def trap(folder: Path, iterations: int = 10**15) -> Path:
    """A bundle whose stage A loops on green images, and on none of its golden cases."""
    write_tiny_bundle(folder, name="trap")
    (folder / "stage_a" / "model.onnx").write_bytes(looping_model(16, iterations, on_green=True))
    forge(folder)
    return folder


class Load:
    """Clients that send usual images, a connection each, until the end."""

    def __init__(self, service: ServiceProcess, clients: int) -> None:
        self.outcomes: Counter[object] = Counter()
        self._service = service
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with self._service.client() as client:
            while not self._done.is_set():
                try:
                    answer = client.post("/predict", content=USUAL, headers=JPEG)
                    self.outcomes[answer.status_code] += 1
                except httpx.HTTPError as error:
                    self.outcomes[type(error).__name__] += 1
                time.sleep(0.01)


def send_endless(service: ServiceProcess, times: int) -> list[httpx.Response]:
    def send(_: int) -> httpx.Response:
        with service.client() as client:
            return client.post("/predict", content=ENDLESS, headers=JPEG)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(send, range(times)))


def overruns(service: ServiceProcess) -> dict[str, Any]:
    with service.client() as client:
        found: dict[str, Any] = client.get("/health").json()["overruns"]
        return found


def events(service: ServiceProcess, event: str) -> list[dict[str, Any]]:
    return [line for line in service.logs() if line["event"] == event]


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 1), (1, 4)])
def test_no_other_request_is_lost(tmp_path: Path, workers: int, batch: int) -> None:
    """A batch fails as a whole; then each of its images is computed alone."""
    bundle = trap(tmp_path / "trap")
    with (
        ServiceProcess(
            bundle,
            tmp_path / "service",
            workers=workers,
            cores=1,
            batch=batch,
            redis_url="off",
            compute_timeout=3,
        ) as service,
        Load(service, 4) as load,
    ):
        eventually(lambda: load.outcomes[200] > 20)
        (answer,) = send_endless(service, 1)
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:demur:problem:compute-timeout")
        line, *again = events(service, "compute_overrun")
        assert len(again) <= batch - 1
        assert (line["level"], line["bundle"], line["limit"]) == ("error", "trap", 3.0)
        assert len(line["version"]) == 16
        with service.client() as client:
            version = client.get("/health").json()["bundle"]["version"]
            assert line["version"] == version
            counted = f'demur_compute_overruns_total{{bundle="trap:{version}"}} {1.0 + len(again)}'
            assert counted in client.get("/metrics").text
        before = load.outcomes[200]
        eventually(lambda: load.outcomes[200] > before + 100)
        if workers == 1:
            # There is no supervisor: the thread is lost, and another one computes.
            assert overruns(service)["lost_threads"] == 1 + len(again)
    assert set(load.outcomes) == {200}, load.outcomes


def test_the_worker_is_replaced_while_the_others_go_on(tmp_path: Path) -> None:
    bundle = trap(tmp_path / "trap")
    with ServiceProcess(
        bundle, tmp_path / "service", workers=2, cores=1, batch=1, redis_url="off", compute_timeout=3
    ) as service:
        first = set(service.descendants())
        seen = []
        with Load(service, 4) as load:
            for number in range(1, 4):
                sender = threading.Thread(target=send_endless, args=(service, 2))
                sender.start()
                eventually(lambda number=number: len(events(service, "compute_overrun")) >= 2 * number)
                while overruns(service)["workers_being_replaced"]:
                    seen.append(1)
                    time.sleep(0.02)
                sender.join()
                eventually(lambda: overruns(service) == {"lost_threads": 0, "workers_being_replaced": 0})
        # A single replacement may be over before it is looked for.
        assert seen
        assert set(load.outcomes) == {200}, load.outcomes
        # Of the first workers at least one had its share, and none that was replaced is left.
        assert len(service.descendants()) == len(first)
        assert not first <= set(service.descendants())
        replaced = events(service, "worker_replaced")
        assert {(line["bundle"], line["why"]) for line in replaced} == {("trap", "compute_overrun")}
        assert len(events(service, "worker_left")) == len(replaced)
        assert not events(service, "worker_died")
        with service.client() as client:
            counted = f'demur_workers_lost_total{{why="compute_overrun"}} {len(replaced)}.0'
            assert counted in client.get("/metrics").text
        # Again and again: the log names the bundle.
        (*_, often) = events(service, "bundle_overruns")
        assert (often["bundle"], often["times"]) == ("trap", len(events(service, "compute_overrun")))
        everyone = service.descendants()
        assert service.stop() == 0
    # Python's own helpers end once they see that their parent is gone.
    eventually(lambda: not any(map(alive, everyone)))
