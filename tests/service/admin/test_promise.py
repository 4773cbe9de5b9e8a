"""GET /promise and POST /promise/{bundle}/reset on the private port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bundle.verify import read_manifest
from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm
from service.admin.app import create_admin_app
from service.admin.figures import Figures
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan

TOKEN = "a-token-for-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
GOOD = {"name": "Ada", "reason": "the lens was cleaned"}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path, None, "tiny")
    alarm = Alarm("broken", "", 100.0, 25.0, trusted=True)
    archive.change_latch(lambda latch: latch.alarmed("tiny:1", alarm, 0.0))
    return archive


@pytest.fixture
def admin(tiny_bundle: Path, archive: Archive) -> TestClient:
    fleet = Fleet(LineupPlan(tiny_bundle))
    app = create_admin_app(fleet, tiny_bundle.parent, TOKEN, figures=Figures(promises=archive))
    return TestClient(app, headers=HEADERS)


def test_alarms_are_listed_and_a_reset_is_kept_with_name_and_reason(
    admin: TestClient, archive: Archive
) -> None:
    (before,) = admin.get("/promise").json()["bundles"]
    assert [(alarm["signal"], alarm["e_value"]) for alarm in before["alarms"]] == [("broken", 25.0)]
    after = admin.post("/promise/tiny:1/reset", json=GOOD).json()
    assert after["alarms"] == []
    assert after["begin"] > 1e9
    assert not archive.latch().of("tiny:1").suspends
    (kept,) = archive.latch().of("tiny:1").resets
    assert (kept.name, kept.reason) == ("Ada", "the lens was cleaned")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Ada"}, "reason"),
        ({**GOOD, "name": "  "}, "name"),
        ({**GOOD, "name": 3}, "name"),
        ({**GOOD, "reason": "x" * 301}, "reason"),
        ({**GOOD, "force": True}, "body"),
    ],
)
def test_a_reset_needs_a_name_and_a_reason(
    admin: TestClient, archive: Archive, body: dict[str, Any], field: str
) -> None:
    refusal = admin.post("/promise/tiny:1/reset", json=body)
    assert (refusal.status_code, refusal.json()["field"]) == (422, field)
    assert archive.latch().of("tiny:1").suspends


def test_a_bundle_without_an_alarm_can_begin_anew(
    admin: TestClient, archive: Archive, tiny_bundle: Path
) -> None:
    manifest = read_manifest(tiny_bundle)
    label = f"{manifest.name}:{manifest.version}"
    assert admin.post(f"/promise/{label}/reset", json=GOOD).status_code == 200
    assert archive.latch().of(label).begin > 1e9


def test_a_bundle_that_is_not_known_is_named(admin: TestClient) -> None:
    refusal = admin.post("/promise/other:1/reset", json=GOOD)
    assert (refusal.status_code, refusal.json()["field"]) == (404, "bundle")


def test_a_disk_that_does_not_keep_the_reset_changes_nothing(
    admin: TestClient, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_write", full)
    refusal = admin.post("/promise/tiny:1/reset", json=GOOD)
    assert refusal.status_code == 503
    assert "No space left" in refusal.json()["detail"]
    assert archive.latch().of("tiny:1").suspends
