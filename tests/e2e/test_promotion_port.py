"""A promotion through the private port of `demur serve`, which starts a promoter beside the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.engine_timings import lend
from fakes.fleet_bundles import write_fleet_bundle
from fakes.waiting import eventually

from bundle.registry import changes
from bundle.registry.generation import Change
from bundle.registry.opening import open_registry

DEMUR = Path(sys.executable).with_name("demur")
TOKEN = "a-token-of-the-tests-0123456789"
TOLD = {"by": "Ada", "reason": "two more months of labels"}
PLAN = {
    "gates": {"leave_out": ["latency", "memory", "start"]},
    "shadow": "none",
    "canary": [],
    "approve": "required",
}


class Port:
    """The private port and the public one of a service that follows `registry`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._said('admin_port')['port']}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=150,
            trust_env=False,
        )

    def _said(self, event: str) -> dict[str, Any]:
        lines = (json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{"))
        return next(line for line in lines if line["event"] == event)

    def fleet(self) -> dict[str, Any]:
        answer = self.client.get("/fleet")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def served(folder: Path, registry: Path) -> Iterator[Port]:
    data, log = folder / "data", folder / "log.jsonl"
    data.mkdir()
    lend(data)
    settings = {
        "DEMUR_REGISTRY": str(registry),
        "DEMUR_DATA_DIR": str(data),
        "DEMUR_PORT": "0",
        "DEMUR_ADMIN_PORT": "0",
        "DEMUR_ADMIN_TOKEN": TOKEN,
        "DEMUR_DRAIN": "0.2",
        "DEMUR_ENGINE": "onnxruntime-cpu",
        "DEMUR_PRECISION": "fp32",
        "DEMUR_BATCH": "1",
        "OMP_NUM_THREADS": "1",
    }
    with log.open("wb") as out:
        service = subprocess.Popen([DEMUR, "serve"], stdout=out, stderr=out, env={**os.environ, **settings})
    try:
        eventually(lambda: service.poll() is not None or '"admin_port"' in log.read_text())
        assert service.poll() is None, log.read_text()
        port = Port(log)
        with port.client:
            yield port
    finally:
        service.terminate()
        service.wait(150)


@pytest.mark.timeout(400)
def test_a_promotion_begins_is_approved_and_goes_back_through_the_private_port(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    one, two = (
        registry.push(write_fleet_bundle(tmp_path / name, gain=gain), "tests")
        for name, gain in (("one", 1.0), ("two", 1.1))
    )
    registry.fleet("tiny").change(lambda now: changes.promoted(now, one, Change(1.0, "tests", "the first")))
    with served(tmp_path, tmp_path / "registry") as port:
        eventually(lambda: len(port.fleet()["services"]) == 1)
        refused = port.post("/promotions", status=409, bundle=one.digest, plan=PLAN, **TOLD)
        assert "is the champion of fleet tiny already" in refused["detail"]
        begun = port.post("/promotions", bundle=two.label, plan=PLAN, **TOLD)["promotion"]
        assert begun["newcomer"]["digest"] == two.digest
        assert begun["started"]["by"] == "Ada"
        eventually(lambda: port.client.get("/promotions").json()["promotion"]["phase"] == "approval")
        again = port.post("/promotions", status=409, bundle=two.digest, plan=PLAN, **TOLD)
        assert "/promotions/abort" in again["detail"]
        port.post("/promotions/approve", by="Bob", comment="looked at it")
        eventually(lambda: port.client.get("/promotions").json()["promotion"]["phase"] == "promoted")
        assert port.fleet()["champion"]["digest"] == two.digest
        back = port.post("/rollback", **TOLD)
        assert back["champion"]["digest"] == one.digest

        def serves_the_first() -> bool:
            (service,) = port.fleet()["services"]
            return service["champion"] == one.digest and service["behind"] == 0

        eventually(serves_the_first)
        elsewhere = port.client.post("/bundles/two/activate")
        assert elsewhere.status_code in (404, 409)
