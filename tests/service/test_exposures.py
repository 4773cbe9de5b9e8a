"""Exposures: every decision says in the event log which arm of the running experiment it belongs to."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_bundle import ANSWERED_BY_A
from fakes.waiting import eventually
from starlette.testclient import TestClient

from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.events import Event, FailureEvent, PredictionEvent
from monitoring.experiments.dealing import Dealing, RunningExperiment
from service.app import create_app
from service.errors import DeadlinePassed
from service.lineup.lineup import Deployments, label_of
from service.settings import Settings

Images = Callable[..., bytes]
Bundles = Callable[..., Path]
JPEG = {"Content-Type": "image/jpeg"}


class Dealt:
    """A worker with an experiment of two arms and a shadow."""

    def __init__(self, one: Path, two: Path, three: Path, data: Path) -> None:
        self.two, self.three = label_of(two), label_of(three)
        # The store is away: the log is what counts.
        self.settings = Settings.read(
            {},
            bundle=one,
            challengers=f"{two}=0.5,{three}=shadow",
            redis_url="redis://127.0.0.1:1",
            data_dir=data,
            stop_timeout=1.0,
        )
        self.experiment = RunningExperiment("ramp", "salt", 3, Dealing.of({self.two: 0.5}))
        deployments = Deployments.open(self.settings, self.experiment)
        self.client = TestClient(create_app(self.settings, deployments=deployments))

    def events(self) -> list[Event]:
        readers = [LogReader(folder) for folder in log_folders(self.settings.data_dir / "events" / "tiny")]
        return [event for reader in readers for event in reader.events()]

    def named(self, name: str) -> Any:
        found = [event for event in self.events() if event.request_id == name]
        return found[0] if found else None


@pytest.fixture
def dealt(tiny_bundle: Path, make_tiny_bundle: Bundles, tmp_path: Path) -> Iterator[Dealt]:
    two, three = make_tiny_bundle(stages=1, name="other"), make_tiny_bundle(stages=1, name="third")
    made = Dealt(tiny_bundle, two, three, tmp_path / "data")
    with made.client:
        yield made


def test_a_decision_says_its_arm_and_a_shadow_its_own(dealt: Dealt, make_colour_image: Images) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    for number in range(8):
        headers = {**JPEG, "X-Unit-Id": f"camera-{number}", "X-Request-Id": f"r{number}"}
        assert dealt.client.post("/predict", content=image, headers=headers).status_code == 200
    eventually(lambda: len(dealt.events()) == 16)
    arms = set()
    for number in range(8):
        event = dealt.named(f"r{number}")
        assert event.arm == (dealt.experiment.arm_of(f"camera-{number}") or "control")
        assert (event.arm == dealt.two) == (event.bundle == dealt.two)
        assert (event.experiment, event.stratum, event.dealt) == ("ramp", 3, None)
        assert 0 < event.seconds < 10
        arms.add(event.arm)
    assert arms == {"control", dealt.two}
    shadows = [event for event in dealt.events() if "~" in event.request_id]
    assert len(shadows) == 8
    assert {(one.arm, one.seconds) for one in shadows if isinstance(one, PredictionEvent)} == {
        (dealt.three, None)
    }


def test_the_images_of_a_batch_are_one_unit(dealt: Dealt, make_colour_image: Images) -> None:
    text = b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()
    body = {"images": [text, text, "no image"]}
    assert dealt.client.post("/predict/batch", json=body, headers={"X-Request-Id": "b"}).status_code == 200
    eventually(lambda: dealt.named("b.1") is not None)
    arm = dealt.experiment.arm_of("b") or "control"
    for name in ("b.0", "b.1"):
        event = dealt.named(name)
        assert (event.arm, event.dealt, event.unit_id) == (arm, "b", None)
    # An image that is none is the client's fault, and no failure of the arm.
    assert dealt.named("b.2") is None


def test_a_request_that_names_its_bundle_is_dealt_to_nobody(dealt: Dealt, make_colour_image: Images) -> None:
    text = b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    answer = dealt.client.post("/v2/models/tiny/infer", json={"id": "v", "inputs": [tensor]})
    assert answer.status_code == 200
    eventually(lambda: dealt.named("v") is not None)
    assert (dealt.named("v").experiment, dealt.named("v").arm) == (None, None)


@pytest.mark.parametrize(
    ("error", "problem"), [(DeadlinePassed(), "deadline-passed"), (RuntimeError("broken"), "internal-error")]
)
def test_a_request_without_a_decision_counts_for_its_arm(
    dealt: Dealt,
    make_colour_image: Images,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    problem: str,
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("service.compute.predictor.Predictor.predict", fails)
    headers = {**JPEG, "X-Unit-Id": "camera-1", "X-Request-Id": "f"}
    answer = dealt.client.post("/predict", content=make_colour_image(1, ANSWERED_BY_A), headers=headers)
    assert answer.status_code in (500, 504)
    eventually(lambda: dealt.named("f") is not None)
    failure = dealt.named("f")
    assert isinstance(failure, FailureEvent)
    assert (failure.problem, failure.unit_id, failure.experiment, failure.stratum) == (
        problem,
        "camera-1",
        "ramp",
        3,
    )
    assert failure.arm == (dealt.experiment.arm_of("camera-1") or "control")


def test_health_shows_what_this_worker_deals(dealt: Dealt) -> None:
    shown = dealt.client.get("/health").json()["experiment"]
    assert (shown["name"], shown["stratum"], shown["blocked"]) == ("ramp", 3, False)
    assert [(arm["arm"], arm["share"], arm["shadow"]) for arm in shown["arms"]] == [
        ("control", 0.5, False),
        (dealt.two, 0.5, False),
        (dealt.three, 0.0, True),
    ]
