"""Challengers: assignment of units, records of a shadow, and that a shadow yields under load."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_bundle import ANSWERED_BY_A, ANSWERED_BY_B
from fakes.waiting import eventually
from starlette.testclient import TestClient

from bundle.manifest import BundleError
from monitoring.experiments.dealing import Dealing, RunningExperiment
from monitoring.metrics.instruments import Instruments
from service.compute.admission import Admission, Lane
from service.compute.shadows import AnsweredImage, Shadows
from service.compute.spare_time import SpareTime
from service.errors import SettingsError
from service.lineup.deployment import deployment_for
from service.lineup.lineup import Dealt
from service.settings import Settings
from service.window_client import NoStore

Images = Callable[..., bytes]
Clients = Callable[..., TestClient]
Bundles = Callable[..., Path]
JPEG = {"Content-Type": "image/jpeg"}


def arm_of(unit: str) -> str | None:
    """The arm of a unit where the settings give one challenger half of the units."""
    return RunningExperiment("default", "", 0, Dealing.of({"b:1": 0.5})).arm_of(unit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b", "neither FOLDER=SHARE nor FOLDER=shadow"),
        ("b=0", "greater than 0"),
        ("b=2", "less than or equal to 1"),
        ("b=most", "valid number"),
        ("b=0.6,c=0.5", r"the shares are 1\.1 in sum"),
        ("a=shadow,b=shadow,c=shadow,d=shadow,e=shadow", "at most 4"),
    ],
)
def test_invalid_challengers_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.read({"DEMUR_CHALLENGERS": text}, bundle="x")


def test_challengers_from_the_environment() -> None:
    read = Settings.read({"DEMUR_CHALLENGERS": "runs/a=b=0.25, runs/c=shadow"}, bundle="x").challengers
    assert [(one.folder, one.share) for one in read] == [(Path("runs/a=b"), 0.25), (Path("runs/c"), None)]


def test_a_unit_gets_the_same_bundle_every_time(
    make_client: Clients, make_tiny_bundle: Bundles, make_colour_image: Images
) -> None:
    other = make_tiny_bundle(stages=1)
    client = make_client(challengers=f"{other}=0.5")
    image = make_colour_image(1, ANSWERED_BY_A)

    def version(**headers: str) -> str:
        answer = client.post("/predict", content=image, headers={**JPEG, **headers})
        return str(answer.json()["bundle"]["version"])

    health = client.get("/health").json()
    challenger = health["challengers"][0]
    assert (challenger["share"], challenger["drift"]) == (0.5, "no reference: drift is off")
    versions = {None: health["bundle"]["version"], "b:1": challenger["version"]}
    for number in range(12):
        unit = f"camera-{number}"
        arm = arm_of(unit)
        assert {version(**{"X-Unit-Id": unit}) for _ in range(2)} == {versions[arm]}
        # Without a unit, each request is a unit of its own.
        assert version(**{"X-Request-Id": unit}) == versions[arm]
    assert {arm_of(f"camera-{number}") for number in range(12)} == {None, "b:1"}


def test_a_shadow_records_answered_images_and_their_labels(
    make_client: Clients, make_tiny_bundle: Bundles, make_colour_image: Images, valkey_url: str
) -> None:
    other = make_tiny_bundle(feasible=False)
    client = make_client(
        challengers=f"{other}=shadow", redis_url=valkey_url, model=f"m-{uuid.uuid4().hex}", cores=1
    )
    health = client.get("/health").json()
    champion, shadow = (
        f"{one['name']}:{one['version']}" for one in (health["bundle"], health["challengers"][0])
    )
    assert health["challengers"][0]["drift"] is None
    # The champion answers it; the shadow has no certificate and abstains.
    image = make_colour_image(1, ANSWERED_BY_B)
    for number in range(6):
        answer = client.post("/predict", content=image, headers={**JPEG, "X-Request-Id": f"r{number}"}).json()
        assert (answer["bundle"]["version"], answer["decision"]) == (health["bundle"]["version"], "answer")
        assert client.post("/feedback", json={"request_id": f"r{number}", "label": 1}).status_code == 202

    def rolling(bundle: str) -> dict[str, Any]:
        body: dict[str, Any] = client.get("/rolling", params={"bundle": bundle}).json()
        return body

    eventually(lambda: rolling(champion)["labelled"] == rolling(shadow)["labelled"] == 6)
    assert rolling(champion)["predictions"] == rolling(shadow)["predictions"] == 6
    assert (rolling(champion)["answered"]["acc"]["n"], rolling(shadow)["answered"]["acc"]["n"]) == (6, 0)
    assert rolling(shadow)["all"]["acc"]["accuracy"] == 1.0
    metrics = client.get("/metrics").text
    assert f'demur_shadows_total{{bundle="{shadow}",outcome="abstain"}} 6.0' in metrics
    assert f'demur_decisions_total{{bundle="{shadow}"' not in metrics
    assert f'demur_rolling_n{{bundle="{shadow}",series="all"}} 6.0' in metrics
    assert client.get("/rolling", params={"bundle": "unknown:1"}).status_code == 404


@pytest.mark.parametrize("way", ["batch", "protocol"])
def test_every_route_reaches_the_shadow(
    make_client: Clients, make_tiny_bundle: Bundles, make_colour_image: Images, way: str
) -> None:
    client = make_client(challengers=f"{make_tiny_bundle(stages=1)}=shadow")
    text = b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()
    if way == "batch":
        answer = client.post("/predict/batch", json={"images": [text] * 3})
    else:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [3], "data": [text] * 3}
        answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200
    eventually(lambda: 'outcome="answer"} 3.0' in client.get("/metrics").text)


def test_a_challenger_with_other_classes_is_refused(make_client: Clients, make_tiny_bundle: Bundles) -> None:
    with pytest.raises(BundleError, match="must know the same classes"):
        make_client(challengers=f"{make_tiny_bundle(classes=3)}=shadow")


def test_the_champion_is_not_listed_as_its_own_challenger(make_client: Clients, tiny_bundle: Path) -> None:
    client = make_client(challengers=f"{tiny_bundle}=shadow")
    assert client.get("/health").json()["challengers"] == []


def test_a_shadow_waits_for_a_free_core_and_is_shed_first(tiny_bundle: Path, tmp_path: Path) -> None:
    """While no slot is free, nothing is computed and only images within the limits wait."""

    async def scenario() -> None:
        settings = Settings.read({}, bundle=tiny_bundle, redis_url="off", data_dir=tmp_path)
        deployment = await asyncio.to_thread(deployment_for, settings)
        instruments = Instruments()
        admission = Admission(1, 8)
        spare = SpareTime(admission, max_images=3, max_bytes=100)
        shadows = Shadows(spare, NoStore(instruments), instruments)
        threads: list[str] = []

        def read() -> bytes:
            threads.append(threading.current_thread().name)
            return b"no image"

        def outcomes() -> dict[str, float]:
            samples = next(iter(instruments.shadows.collect())).samples
            return {sample.labels["outcome"]: sample.value for sample in samples}

        def image(size: int) -> AnsweredImage:
            return AnsweredImage(read, size, "r", None)

        busy = threading.Semaphore(0)
        admission.run(Lane.SINGLE, time.perf_counter() + 60, busy.acquire)
        shadows.offer([Dealt(deployment)], image(99))
        shadows.offer([Dealt(deployment)], image(2))  # too many bytes
        shadows.offer([Dealt(deployment)], image(1))
        shadows.offer([Dealt(deployment)], image(0))
        shadows.offer([Dealt(deployment)], image(0))  # too many images
        await asyncio.sleep(0.2)
        assert threads == []
        assert outcomes() == {"shed": 2}
        busy.release()
        async with asyncio.timeout(150):
            while outcomes() != {"shed": 2, "failed": 3}:
                await asyncio.sleep(0.01)
        assert {name.rsplit("_", 1)[0] for name in threads} == {"spare"}
        # The queue is empty again, and an image that waits at the end counts as shed.
        admission.run(Lane.SINGLE, time.perf_counter() + 60, busy.acquire)
        shadows.offer([Dealt(deployment)], image(100))
        await spare.close()
        busy.release()
        admission.close()
        assert outcomes() == {"shed": 3, "failed": 3}

    asyncio.run(scenario())
