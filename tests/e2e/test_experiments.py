"""An experiment in the real service: ramp, a bad challenger that leaves by itself, restart, missing units."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.command_line import Demur, in_this_process
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import CONTROL, PredictionEvent

Images = Callable[..., bytes]
TOKEN = "a-token-of-the-tests-0123456789"
TOLD = {"by": "Ada", "reason": "two is smaller"}
UNITS = 240


def service_of(tmp_path: Path, **settings: Any) -> ServiceProcess:
    given = {"workers": 2, "cores": 1, "admin_port": 0, "admin_token": TOKEN, **settings}
    return ServiceProcess(tmp_path / "bundles" / "one", tmp_path / "data", **given)


def admin(service: ServiceProcess) -> httpx.Client:
    return service.admin(TOKEN)


def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    values: dict[str, Any] = answer.json()
    return values


def bundles_of(service: ServiceProcess, image: bytes, units: range) -> dict[int, str]:
    """The bundle that answers each unit, of both workers."""
    found: dict[int, str] = {}
    with service.client(every_worker=True) as client:
        for unit in units:
            headers = {"Content-Type": "image/jpeg", "X-Unit-Id": f"camera-{unit}"}
            found[unit] = done(client.post("/predict", content=image, headers=headers))["bundle"]["name"]
    return found


def shown(service: ServiceProcess) -> list[dict[str, dict[str, Any]]]:
    """The arms by bundle, as several connections see them."""
    with service.client(every_worker=True) as client:
        bodies = [done(client.get("/health"))["experiment"] for _ in range(6)]
    return [{arm["bundle"].split(":")[0]: arm for arm in body["arms"]} for body in bodies]


def withdrawn(service: ServiceProcess, name: str) -> set[str | None]:
    """Why an arm has left, as both workers say it."""
    return {arms[name]["withdrawn"] for arms in shown(service) if name in arms}


@pytest.fixture
def demur(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Demur:
    monkeypatch.setenv("DEMUR_ADMIN_TOKEN", TOKEN)
    return in_this_process(monkeypatch, capfdbinary)


def test_a_bad_challenger_leaves_by_itself_and_for_good(
    tmp_path: Path, make_colour_image: Images, demur: Demur, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(tmp_path / "bundles" / "one")
    write_tiny_bundle(tmp_path / "bundles" / "two", stages=1, name="good")
    write_tiny_bundle(tmp_path / "bundles" / "mute", feasible=False, name="mute")
    image = make_colour_image(1, 0.9)
    with service_of(tmp_path) as service, admin(service) as owner:
        monkeypatch.setenv("DEMUR_ADMIN_PORT", str(owner.base_url.port))
        arms = ("--arm", "two=0.2", "--arm", "mute=0.2", "--salt", "fixed")
        ended = demur("experiment", "start", "ramp", *arms, "--reason", "two is smaller")
        assert (ended.code, ended.err) == (0, "")
        assert re.search(r"good:\w+  20 % of the units, 0 so far", ended.out)
        assert demur("experiment", "start", "ramp", "--reason", "again").code == 2
        first = bundles_of(service, image, range(40))
        done(owner.post("/experiments/ramp/share", json={"arm": "two", "share": 0.4, **TOLD}))
        second = bundles_of(service, image, range(40))
        moves = {(first[unit], second[unit]) for unit in first if first[unit] != second[unit]}
        assert moves == {("tiny", "good")}
        assert owner.post("/bundles/two/activate").status_code == 409
        # Mute answers nothing: its coverage is 0.
        bundles_of(service, image, range(40, UNITS))
        eventually(lambda: withdrawn(service, "mute") == {"guardrail coverage"})
        third = bundles_of(service, image, range(40))
        assert {(second[unit], third[unit]) for unit in second if second[unit] != third[unit]} == {
            ("mute", "tiny")
        }
        seen = demur("experiment", "status")
        assert re.search(r"mute:\w+ left .* \(guardrail coverage\): coverage of mute", seen.out)
        (held,) = done(owner.get("/experiments"))["experiments"]
        (left,) = held["withdrawals"]
        assert left["note"]["by"] == "demur"
        assert "coverage of mute" in left["note"]["reason"]
        (line,) = [line for line in service.logs() if line["event"] == "experiment_arm_withdrawn"]
        assert line["level"] == "error"
        metrics = done_text(service, "/metrics")
        assert (
            'demur_experiment_withdrawals_total{experiment="ramp",reason="guardrail coverage"} 1.0' in metrics
        )
        assert "demur_experiment_units{" in metrics
        refused = owner.post("/experiments/ramp/share", json={"arm": "mute", "share": 0.1, **TOLD})
        assert refused.status_code == 409
        report = done(owner.get("/experiments/ramp/report"))["analysis"]
        assert report["units"] == UNITS
        assert not report["blocked"]
        # A worker that replaces another one deals as it did.
        worker = next(pid for pid in service.descendants() if b"spawn_main" in command_of(pid))
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: workers(service) == 2 and worker not in service.descendants())
        assert bundles_of(service, image, range(40)) == third
        assert service.stop() == 0
    with service_of(tmp_path) as service, admin(service) as owner:
        assert bundles_of(service, image, range(40)) == third
        assert withdrawn(service, "mute") <= {"guardrail coverage", None}
        assert {arms["good"]["share"] for arms in shown(service)} == {0.4}
        # Units that an arm has lost on the way to the log.
        lose_units(tmp_path / "data", held)
        eventually(lambda: blocked(service))
        (line,) = [line for line in service.logs() if line["event"] == "experiment_sample_ratio_mismatch"]
        assert line["level"] == "error"
        report = done(owner.get("/experiments/ramp/report"))
        assert report["analysis"]["blocked"]
        assert set(report["analysis"]["conclusions"].values()) == {"inconclusive"}
        assert "mismatch" in report["mismatch"]["reason"]
        # Held, not withdrawn: that was asked for.
        assert {arms["good"]["share"] for arms in shown(service)} == {0.4}
        monkeypatch.setenv("DEMUR_ADMIN_PORT", str(owner.base_url.port))
        ended = demur("experiment", "stop", "ramp", "--reason", "units are missing", "--by", "Bo", "--json")
        assert json.loads(ended.out)["ended"]["by"] == "Bo"
        assert done(owner.get("/challengers"))["challengers"] == [
            {"name": "two", "share": 0.4, "shadow": False}
        ]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def workers(service: ServiceProcess) -> int:
    return sum(b"spawn_main" in command_of(pid) for pid in service.descendants())


def blocked(service: ServiceProcess) -> bool:
    with service.client(every_worker=True) as client:
        return all(done(client.get("/health"))["experiment"]["blocked"] for _ in range(6))


def done_text(service: ServiceProcess, path: str) -> str:
    with service.client() as client:
        return client.get(path).text


def lose_units(data: Path, experiment: dict[str, Any]) -> None:
    """The log of a worker that saw units of the control alone."""
    log = EventLog.claim(data / "events" / "tiny", LogBounds())
    values = {"predicted": 1, "answer": 1, "stage": "A", "confidence": 1.0, "probability": 0.9}
    dealt = {"experiment": "ramp", "arm": CONTROL, "stratum": len(experiment["strata"]) - 1}
    label = experiment["control"]["label"]
    log.append(
        [PredictionEvent(f"r{n}", label, at=time.time(), **values, **dealt) for n in range(600)]  # type: ignore[arg-type]
    )
    log.close()
