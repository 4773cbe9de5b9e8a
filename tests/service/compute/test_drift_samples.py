"""Drift in the service: images are looked at in spare time, and what they say is shown."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fakes.referenced_bundle import usual_image, write_referenced_bundle
from fakes.tiny_bundle import colour_image
from fakes.waiting import eventually
from starlette.testclient import TestClient

from bundle.loader import load_bundle
from bundle.signals import observe
from monitoring.drift.sample_folder import SampledRow, SampleFolder, drift_folder
from monitoring.metrics.instruments import Instruments
from service.compute import drift_samples
from service.compute.admission import Admission, Lane
from service.compute.drift_samples import DriftSamples
from service.compute.shadows import AnsweredImage
from service.compute.spare_time import SpareTime
from service.lineup.deployment import deployment_for
from service.settings import Settings

Clients = Callable[..., TestClient]
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="session")
def referenced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_referenced_bundle(tmp_path_factory.mktemp("referenced") / "bundle")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_samples, "_EVERY", 0.05)


def drift(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/health").json()["drift"]
    return found


def samples_of(referenced: Path, data_dir: Path) -> SampleFolder:
    manifest = load_bundle(referenced).manifest
    return SampleFolder(drift_folder(data_dir, f"{manifest.name}:{manifest.version}"))


def test_a_bundle_without_a_reference_has_no_drift(client: TestClient) -> None:
    assert drift(client)["sentence"] == "no reference: drift is off"


def test_drift_can_be_turned_off(make_client: Clients, referenced: Path) -> None:
    found = drift(make_client(bundle=referenced, drift_images=0))
    assert (found["state"], found["sentence"]) == ("off", "DEMUR_DRIFT_IMAGES is 0: drift is off")


def test_answered_images_are_looked_at(make_client: Clients, referenced: Path, tmp_path: Path) -> None:
    client = make_client(bundle=referenced)
    for number in range(3):
        headers = {**JPEG, "X-Unit-Id": f"camera-{number}"}
        assert client.post("/predict", content=usual_image(number), headers=headers).status_code == 200
    eventually(lambda: drift(client)["waiting"] == 3)
    assert "3 of 250 images are there" in drift(client)["sentence"]
    assert 'demur_drift_samples_total{outcome="kept"} 3.0' in client.get("/metrics").text
    window = samples_of(referenced, tmp_path / "data").take(3, 10)
    assert window is not None
    assert window.with_units
    assert set(window.sample.numbers) == set(load_bundle(referenced).reference.numbers)  # type: ignore[union-attr]


@pytest.mark.parametrize("moved", [False, True])
def test_a_full_window_is_compared(
    make_client: Clients, referenced: Path, tmp_path: Path, moved: bool
) -> None:
    runner = load_bundle(referenced).runner
    images = [colour_image(0, 0.9, seed) if moved else usual_image(seed + 1_000) for seed in range(260)]
    rows = [
        SampledRow(f"{place * 2**53:016x}", 0.5, time.time(), observe(runner, image), True)
        for place, image in enumerate(images)
    ]
    samples_of(referenced, tmp_path / "data").append(rows)
    client = make_client(bundle=referenced)
    eventually(lambda: drift(client)["state"] == ("moved" if moved else "quiet"))
    found = drift(client)
    assert found["images"] == 260
    assert ("predicted" in found["moved"]) is moved
    assert found["expected"].startswith("if the probabilities still mean what they did")
    metrics = client.get("/metrics").text
    label = "{}:{}".format(*client.get("/health").json()["bundle"].values())
    assert f'demur_drift_alarm{{bundle="{label}"}} {float(moved)}' in metrics
    assert f'demur_drift_psi{{bundle="{label}",signal="brightness"}}' in metrics
    assert f'demur_drift_p_value{{bundle="{label}",signal="joint"}}' in metrics
    assert f'demur_expected_accuracy{{bundle="{label}"}}' in metrics


def test_a_slow_sample_is_no_overrun(referenced: Path, tmp_path: Path) -> None:
    """A thread of the lowest priority may get little of a core; a shadow of the same time is given up."""

    async def scenario() -> list[int]:
        settings = Settings.read({}, bundle=referenced, redis_url="off", data_dir=tmp_path)
        deployment = await asyncio.to_thread(deployment_for, settings)
        spare = SpareTime(Admission(1, 8), max_images=2, max_bytes=1000)
        samples = DriftSamples(settings, spare, Instruments(), lambda: [deployment], lambda _: None)
        began = threading.Event()
        go_on = threading.Event()

        def read() -> bytes:
            began.set()
            go_on.wait(120)
            return usual_image(0)

        samples.offer(deployment, AnsweredImage(read, 10, "r", "camera"))
        await asyncio.to_thread(began.wait, 120)
        await asyncio.sleep(0.2)
        given_up = [len(spare.give_up_overdue(0.05)) for _ in range(3)]
        go_on.set()
        await spare.close()
        await samples.close()
        return given_up

    assert asyncio.run(scenario()) == [0, 0, 0]


def test_audits_stand_beside_the_probabilities(referenced: Path, tmp_path: Path) -> None:
    async def scenario() -> str:
        settings = Settings.read({}, bundle=referenced, redis_url="off", data_dir=tmp_path)
        deployment = await asyncio.to_thread(deployment_for, settings)
        rows = [observe(deployment.runner, usual_image(seed + 1_000)) for seed in range(260)]
        samples_of(referenced, tmp_path).append(
            [SampledRow(f"{place:016x}", 0.5, time.time(), row, True) for place, row in enumerate(rows)]
        )
        spare = SpareTime(Admission(1, 8), max_images=2, max_bytes=1000)
        samples = DriftSamples(settings, spare, Instruments(), lambda: [deployment], lambda _: (0.2, 0.3))
        async with asyncio.timeout(150):
            while samples.status(deployment).conclusion is None:
                await asyncio.sleep(0.01)
        await spare.close()
        await samples.close()
        return str(samples.status(deployment).to_dict()["expected"])

    said = asyncio.run(scenario())
    assert "the audits say that 20 to 30 % are wrong" in said
    assert said.endswith("the probabilities no longer mean what they did")


def test_a_folder_that_cannot_be_written_fails_no_request(
    make_client: Clients, referenced: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "drift").write_text("no folder")
    client = make_client(bundle=referenced)
    assert client.post("/predict", content=usual_image(0), headers=JPEG).status_code == 200
    eventually(lambda: drift(client)["state"] == "failing")
    assert "cannot be kept" in drift(client)["sentence"]
    eventually(lambda: 'demur_drift_samples_total{outcome="failed"} 1.0' in client.get("/metrics").text)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB in the place of the samples, with a file `filling` that fills it."""
    folder = tmp_path / "data" / "drift"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(4096))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_and_drift_goes_on_when_there_is_room(
    make_client: Clients, referenced: Path, tmp_path: Path, small_disk: Path
) -> None:
    client = make_client(bundle=referenced, log_file=tmp_path / "log.jsonl")

    def send(unit: str) -> int:
        headers = {**JPEG, "X-Unit-Id": unit}
        return client.post("/predict", content=usual_image(0), headers=headers).status_code

    assert send("first") == 200
    eventually(lambda: drift(client)["state"] == "failing")
    assert "No space left on device" in drift(client)["sentence"]
    (small_disk / "filling").unlink()
    assert send("second") == 200
    eventually(lambda: drift(client)["waiting"] == 1)
    assert "1 of 250 images are there" in drift(client)["sentence"]
    assert "exception" not in (tmp_path / "log.jsonl").read_text()


def test_samples_wait_for_a_free_core_and_are_shed_first(referenced: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = Settings.read({}, bundle=referenced, redis_url="off", data_dir=tmp_path)
        deployment = await asyncio.to_thread(deployment_for, settings)
        instruments = Instruments()
        admission = Admission(1, 8)
        spare = SpareTime(admission, max_images=2, max_bytes=1000)
        samples = DriftSamples(settings, spare, instruments, lambda: [deployment], lambda _: None)
        read: list[str] = []

        def reader() -> bytes:
            read.append(threading.current_thread().name)
            return usual_image(0) if len(read) > 1 else b"no image"

        def outcomes() -> dict[str, float]:
            found = next(iter(instruments.drift_samples.collect())).samples
            return {sample.labels["outcome"]: sample.value for sample in found if sample.value}

        busy = threading.Semaphore(0)
        admission.run(Lane.SINGLE, time.perf_counter() + 60, busy.acquire)
        for number in range(3):
            samples.offer(deployment, AnsweredImage(reader, 10, f"r{number}", f"camera-{number}"))
        await asyncio.sleep(0.2)
        assert read == []
        assert outcomes() == {"shed": 1}
        busy.release()
        async with asyncio.timeout(150):
            while outcomes() != {"shed": 1, "failed": 1, "kept": 1}:
                await asyncio.sleep(0.01)
        assert {name.rsplit("_", 1)[0] for name in read} == {"spare"}
        await spare.close()
        await samples.close()

    asyncio.run(scenario())
