"""Overruns: what is counted, reported and shown when a computation does not end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import colour_image, looping_model, write_tiny_bundle
from fakes.waiting import eventually
from starlette.testclient import TestClient

from monitoring.metrics.instruments import Instruments
from service.compute.overruns import Overruns, SharedCount, Supervision
from service.compute.threads import GivenUp

JPEG = {"Content-Type": "image/jpeg"}


class Stuck:
    """Threads of which one is given up at each look, and all given up go on computing."""

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle
        self.lost = 0

    def give_up_overdue(self, limit: float) -> list[GivenUp]:
        self.lost += 1
        return [GivenUp(self.bundle, limit + 1.0)]


def test_each_overrun_is_counted_and_reported_with_its_bundle() -> None:
    instruments, reported, replacing = Instruments(), [], SharedCount()
    overruns = Overruns(10.0, instruments, Supervision(reported.append, replacing))
    champion, shadow = Stuck("good:1"), Stuck("bad:2")
    overruns.look(champion, shadow)
    overruns.look(shadow)
    assert reported == ["good:1", "bad:2", "bad:2"]
    samples = next(iter(instruments.overruns.collect())).samples
    assert {sample.labels["bundle"]: sample.value for sample in samples} == {"good:1": 1.0, "bad:2": 2.0}
    assert overruns.lost_threads == shadow.lost == 2
    replacing.value = 3
    assert overruns.replacing == 3


@pytest.mark.parametrize("shadow", [False, True])
def test_a_long_computation_degrades_the_service_until_it_ends(
    make_client: Callable[..., TestClient],
    make_tiny_bundle: Callable[..., Path],
    valkey_url: str,
    tmp_path: Path,
    shadow: bool,
) -> None:
    """The champion's request is refused, a shadow's is not missed; the images behind it are decided."""
    bundle = write_tiny_bundle(tmp_path / "trap", name="trap")
    (bundle / "stage_a" / "model.onnx").write_bytes(looping_model(16, 12_000_000, on_green=True))
    forge(bundle)
    served = (
        {"bundle": make_tiny_bundle(), "challengers": f"{bundle}=shadow"} if shadow else {"bundle": bundle}
    )
    client = make_client(
        **served, redis_url=valkey_url, model="trap", compute_timeout=1.0, cores=1, batch=1, stop_timeout=30
    )
    eventually(lambda: client.get("/health").json()["status"] == "ok")
    answer = client.post("/predict", content=colour_image(2, 0.9), headers=JPEG)
    assert answer.status_code == (200 if shadow else 504)
    eventually(lambda: client.get("/health").json()["overruns"]["lost_threads"] == 1)
    assert client.get("/health").json()["status"] == "degraded"
    assert client.post("/predict", content=colour_image(1, 0.9), headers=JPEG).status_code == 200
    eventually(lambda: client.get("/health").json()["status"] == "ok")
