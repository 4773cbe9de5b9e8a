"""A bundle whose model never ends, workers that die while they start, and changes whose client leaves."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fakes.forged_bundle import forge
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import looping_model, write_tiny_bundle
from fakes.waiting import eventually

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
TOKEN = "a-token-of-the-tests-0123456789"
KILLS = 50 if os.environ.get("DEMUR_SLOW") else 6


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allowed")
    write_tiny_bundle(folder / "one")
    write_tiny_bundle(folder / "two", stages=1, name="other")
    write_tiny_bundle(folder / "endless", name="endless")
    (folder / "endless" / "stage_a" / "model.onnx").write_bytes(looping_model(16))
    forge(folder / "endless")
    return folder


@pytest.fixture
def service(bundles: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    shutil.copytree(bundles / "one", bundles / "started", dirs_exist_ok=True)
    with ServiceProcess(
        bundles / "started",
        tmp_path,
        workers=2,
        cores=1,
        redis_url="off",
        admin_port=0,
        admin_token=TOKEN,
        prepare_timeout=60,
    ) as running:
        yield running


@pytest.fixture
def admin(service: ServiceProcess) -> Iterator[httpx.Client]:
    port = service.admin_port
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers=headers, timeout=300, trust_env=False) as client:
        yield client


def workers_of(service: ServiceProcess) -> list[int]:
    found = []
    for pid in service.descendants():
        try:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_an_endless_model_is_refused_and_blocks_no_later_change(
    service: ServiceProcess, admin: httpx.Client
) -> None:
    before = workers_of(service)
    refusal = admin.post("/bundles/endless/activate")
    assert refusal.status_code == 409
    assert refusal.json()["type"] == "urn:demur:problem:bundle-refused"
    assert " s" in refusal.json()["detail"]
    assert admin.post("/bundles/two/activate").status_code == 200
    # The workers never saw it.
    assert workers_of(service) == before


def test_a_change_whose_client_leaves_is_dropped(service: ServiceProcess, admin: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        admin.post("/bundles/endless/activate", timeout=2)
    assert admin.post("/bundles/two/activate").status_code == 200
    # It did not wait for the end of the abandoned change, which has a minute.
    refused = [line for line in service.logs() if line["event"] == "change_refused"]
    assert [line["name"] for line in refused] == ["endless"]
    assert "the client has gone" in refused[0]["why"] or "cancelled" in refused[0]["why"]


def test_workers_killed_while_they_start_leave_the_others_at_work(
    service: ServiceProcess, make_colour_image: Images
) -> None:
    """SIGKILL at random moments of a start, under load: the service goes on, and recovers by itself."""
    image = make_colour_image(1, 0.9)
    outcomes: Counter[object] = Counter()
    done = threading.Event()
    kept = workers_of(service)[0]

    def load() -> None:
        while not done.is_set():
            try:
                with service.client() as client:
                    outcomes[client.post("/predict", content=image, headers=JPEG).status_code] += 1
            except httpx.HTTPError as error:
                outcomes[type(error).__name__] += 1

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    moments = random.Random(0)
    kills = 0
    give_up = time.monotonic() + 300 + 8 * KILLS
    while kills < KILLS and time.monotonic() < give_up:
        assert service.process.poll() is None, service.logs()[-5:]
        for victim in set(workers_of(service)) - {kept}:
            time.sleep(moments.uniform(0.0, 1.5))
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
            kills += 1
        time.sleep(0.02)
    assert kills == KILLS
    assert kept in workers_of(service)
    eventually(lambda: len(workers_of(service)) == 2)
    done.set()
    for client in clients:
        client.join()
    assert outcomes[200] > KILLS
    assert service.process.poll() is None
    # Only requests in flight on a killed worker break.
    assert sum(outcomes.values()) - outcomes[200] <= 4 * KILLS


def test_a_worker_that_cannot_load_a_replaced_bundle_leaves_the_others_at_work(
    service: ServiceProcess, bundles: Path, make_colour_image: Images
) -> None:
    model = bundles / "started" / "stage_a" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    victim, kept = workers_of(service)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: sum(line["event"] == "worker_died" for line in service.logs()) >= 3)
    with service.client(every_worker=True) as client:
        image = make_colour_image(1, 0.9)
        answers = {client.post("/predict", content=image, headers=JPEG).status_code for _ in range(8)}
    assert answers == {200}
    assert kept in workers_of(service)
    shutil.copy(bundles / "one" / "stage_a" / "model.onnx", model)
    eventually(lambda: len(workers_of(service)) == 2)
