"""No event is lost or counted twice: the whole service, with real stores and killed processes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis
from fakes.service_process import ServiceProcess
from fakes.waiting import eventually

from monitoring.promise.items import AuditItem, ItemChanges
from monitoring.promise.stored_items import StoredItems
from monitoring.store.connection import connect

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}


def send(service: ServiceProcess, image: bytes, start: int, stop: int) -> None:
    """Send predictions and labels to every worker."""
    with service.client(every_worker=True) as client:
        for number in range(start, stop):
            headers = {**JPEG, "X-Request-Id": f"r{number}"}
            assert client.post("/predict", content=image, headers=headers).status_code == 200
            body = {"request_id": f"r{number}", "label": number % 2}
            assert client.post("/feedback", json=body).status_code == 202


def rolling(service: ServiceProcess) -> dict[str, Any]:
    """/rolling without the lag and the parts that depend on the worker."""
    with service.client() as client:
        answer = client.get("/rolling")
        if answer.status_code != 200:
            return {}
        return {
            key: value
            for key, value in answer.json().items()
            if key not in ("label_lag_seconds", "events_waiting")
        }


def counts(service: ServiceProcess) -> tuple[int, int]:
    seen = rolling(service)
    return (seen.get("predictions", 0), seen.get("labelled", 0))


def by_id(changes: ItemChanges) -> dict[str, AuditItem]:
    return {item.request_id: item for item in changes.audits}


def _states(client: httpx.Client) -> tuple[str, str]:
    """Of the event log and of the store, as one worker sees them."""
    health = client.get("/health").json()
    return health["event_log"], health["store"]["state"]


def embedded(folder: Path) -> redis.Redis:
    return connect(f"unix://{folder / 'valkey' / 'valkey.sock'}")


def metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def test_the_windows_come_back_from_the_log(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    """Two workers; the store is flushed and killed while the service runs, and lost before the next start."""
    folder = tmp_path / "service"
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, folder, workers=2, audit_share=1.0) as service:
        send(service, image, 0, 60)
        eventually(lambda: counts(service) == (60, 60))
        expected = rolling(service)
        store = embedded(folder)
        items = StoredItems(store, "tiny")
        held = items.changes(expected["bundle"], None)
        assert len(held.audits) == 60
        assert all(item.wrong is not None for item in held.audits)
        store.flushall()
        eventually(lambda: rolling(service) == expected)
        rebuilt = items.changes(expected["bundle"], held.sequence)
        assert rebuilt.complete
        assert by_id(rebuilt) == by_id(held)
        store.close()
        (server,) = [pid for pid in service.descendants() if b"valkey-server" in _command(pid)]
        os.kill(server, signal.SIGKILL)
        send(service, image, 60, 80)
        eventually(lambda: counts(service) == (80, 80))
        expected = rolling(service)
        with service.client() as client:
            eventually(lambda: _states(client) == ("ok", "up"))
            assert metric(client, "demur_events_dropped_total") == 0
        assert service.stop() == 0
    # Two workers with a log each, or three logs, if one worker took over the other's at the start.
    assert len(list((folder / "events" / "tiny").glob("writer-*"))) in (2, 3)
    shutil.rmtree(folder / "valkey")
    # One worker now: it takes over the log of the second one.
    with ServiceProcess(tiny_bundle, folder) as service:
        eventually(lambda: rolling(service) == expected)


def test_a_killed_worker_loses_no_event_and_the_metrics_add_up(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    folder = tmp_path / "service"
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, folder, workers=2) as service:
        send(service, image, 0, 30)
        # Events younger than a round of the recorder are lost with their worker.
        eventually(lambda: counts(service) == (30, 30))
        workers = [pid for pid in service.descendants() if b"spawn_main" in _command(pid)]
        os.kill(workers[0], signal.SIGKILL)
        eventually(
            lambda: (
                workers[0] not in service.descendants()
                and len([pid for pid in service.descendants() if b"spawn_main" in _command(pid)]) == 2
            )
        )
        send(service, image, 30, 60)
        eventually(lambda: counts(service) == (60, 60))
        with service.client() as client:
            assert metric(client, "demur_decisions_total") == 60
            # A worker counts an event after the store has it.
            eventually(lambda: metric(client, "demur_events_delivered_total") == 120)
            eventually(lambda: metric(client, "demur_workers_lost_total") == 1)
            eventually(lambda: client.get("/health").json()["status"] == "ok")
        names = [file.name for file in _metrics_folder(service).glob("counter_*.db")]
        assert f"counter_{workers[0]}.db" not in names
        assert "counter_dead.db" in names


def test_a_label_that_was_accepted_survives_its_worker(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    """Both workers are killed as soon as the last label is accepted."""
    folder = tmp_path / "service"
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, folder, workers=2) as service:
        with service.client(every_worker=True) as client:
            for number in range(20):
                headers = {**JPEG, "X-Request-Id": f"r{number}"}
                client.post("/predict", content=image, headers=headers)
            eventually(lambda: counts(service) == (20, 0))
            workers = [pid for pid in service.descendants() if b"spawn_main" in _command(pid)]
            for number in range(20):
                answer = client.post("/feedback", json={"request_id": f"r{number}", "label": 1})
                assert answer.status_code == 202
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: all(worker not in service.descendants() for worker in workers))
        eventually(lambda: _answers(service) and counts(service) == (20, 20))


def test_a_stop_while_the_store_is_away_keeps_the_events_for_the_next_start(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    folder = tmp_path / "service"
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, folder, redis_url="redis://127.0.0.1:1") as service:
        send(service, image, 0, 20)
        assert service.stop() == 0
        assert any(line["event"] == "events_left_for_the_next_start" for line in service.logs())
    with ServiceProcess(tiny_bundle, folder) as service:
        eventually(lambda: counts(service) == (20, 20))


def test_a_read_only_folder_is_reported_and_costs_no_answer(
    tiny_bundle: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "events").write_text("a file where a folder should be")
    image = make_colour_image(1, 0.9)
    with ServiceProcess(tiny_bundle, folder) as service, service.client() as client:
        send(service, image, 0, 10)
        eventually(lambda: counts(service) == (10, 10))
        health = client.get("/health").json()
        assert (health["status"], health["event_log"]) == ("degraded", "failing")
        assert client.get("/readyz").status_code == 200
        assert metric(client, "demur_events_unlogged_total") == 20
        assert "demur_event_log_up 0.0" in client.get("/metrics").text
        (folder / "events").unlink()
        eventually(lambda: client.get("/health").json()["status"] == "ok")


def _answers(service: ServiceProcess) -> bool:
    """Whether a worker serves."""
    try:
        with service.client() as client:
            return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def _metrics_folder(service: ServiceProcess) -> Path:
    """Folder of the workers' metrics, from the environment of one of them."""
    worker = next(pid for pid in service.descendants() if b"spawn_main" in _command(pid))
    variables = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return next(Path(one.partition("=")[2]) for one in variables if one.startswith("PROMETHEUS_MULTIPROC"))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
