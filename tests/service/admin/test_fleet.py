"""GET /fleet and the way back of a fleet, over a registry in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.followed_fleet import RegistryFleet
from fakes.generations import challenger, change, generation, promotion, ref
from starlette.testclient import TestClient

from monitoring.fleet.report import ServiceReport
from monitoring.store.contract import StoreUnavailable
from service.admin.app import create_admin_app
from service.admin.fleet_values import deadline
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan

TOKEN = "a-token-for-the-tests"
TOLD = {"by": "Ada", "reason": "too many complaints"}


def client_of(bundle: Path, followed: RegistryFleet | None) -> TestClient:
    app = create_admin_app(Fleet(LineupPlan(bundle)), bundle.parent, TOKEN, followed=followed)
    return TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False)


@pytest.fixture
def followed(tmp_path: Path) -> RegistryFleet:
    """Two generations: the champion is b, and a was it before."""
    fleet = RegistryFleet(tmp_path / "registry")
    fleet.change(lambda now: generation(1, "a"))
    fleet.change(lambda now: generation(2, "b", former=(ref("a"),), challengers=(challenger("c", 0.1),)))
    return fleet


@pytest.fixture
def client(tiny_bundle: Path, followed: RegistryFleet) -> TestClient:
    return client_of(tiny_bundle, followed)


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:demur:problem:")


def test_a_fleet_is_shown_with_each_service_and_how_far_it_is_behind(
    client: TestClient, followed: RegistryFleet
) -> None:
    late = ServiceReport("host-2", 5.0, 1, "a" * 64, ref("a").label, fault="cannot open scenes:b")
    followed.services = [ServiceReport("host-1", 5.0, 2, "b" * 64, ref("b").label, prepared=2), late]
    found = client.get("/fleet").json()
    assert (found["fleet"], found["generation"], found["champion"]["digest"]) == ("scenes", 2, "b" * 64)
    assert found["previous"]["label"] == ref("a").label
    assert found["challengers"] == [
        {
            "name": "name-c",
            "bundle": {"digest": "c" * 64, "label": ref("c").label},
            "share": 0.1,
            "shadow": False,
        }
    ]
    assert found["changed"]["reason"] == "a test"
    assert [(one["service"], one["behind"], one["fault"]) for one in found["services"]] == [
        ("host-1", 0, None),
        ("host-2", 1, "cannot open scenes:b"),
    ]
    assert (found["promotion"], found["unseen"]) == (None, None)


def test_the_record_is_shown_while_the_store_is_away(client: TestClient, followed: RegistryFleet) -> None:
    followed.fault = StoreUnavailable("no answer within 1 s")
    found = client.get("/fleet").json()
    assert (found["generation"], found["services"]) == (2, [])
    assert found["unseen"] == "the services cannot be seen: no answer within 1 s"


def test_a_fleet_without_a_record_is_shown_as_empty(tiny_bundle: Path, tmp_path: Path) -> None:
    followed = RegistryFleet(tmp_path / "other")
    followed.change(lambda now: generation(1, "a"))
    followed.name = "nothing-yet"
    found = client_of(tiny_bundle, followed).get("/fleet").json()
    assert (found["generation"], found["champion"], found["changed"]) == (None, None, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/fleet"), ("GET", "/promotions"), ("POST", "/promotions/abort")],
)
def test_without_a_registry_the_way_out_is_said(tiny_bundle: Path, method: str, path: str) -> None:
    answer = client_of(tiny_bundle, None).request(method, path, json=None if method == "GET" else TOLD)
    assert problem(answer) == (409, "no-registry-followed")
    assert "DEMUR_REGISTRY" in answer.json()["detail"]


def test_a_registry_that_is_not_there_is_a_problem_and_no_fault(tiny_bundle: Path, tmp_path: Path) -> None:
    answer = client_of(tiny_bundle, RegistryFleet(tmp_path / "gone")).get("/fleet")
    assert problem(answer) == (503, "registry-away")


class TestRollback:
    def test_the_fleet_goes_back_by_one_record(self, client: TestClient, followed: RegistryFleet) -> None:
        found = client.post("/rollback", json=TOLD).json()
        assert (found["generation"], found["champion"]["digest"], found["previous"]) == (3, "a" * 64, None)
        assert (found["changed"]["by"], found["changed"]["reason"]) == ("Ada", "too many complaints")
        again = client.post("/rollback", json=TOLD)
        assert problem(again) == (409, "nothing-to-roll-back")
        newest = followed.newest()
        assert newest is not None
        assert newest.number == 3

    def test_a_rollback_without_a_body_is_the_ports_own(self, client: TestClient) -> None:
        assert client.post("/rollback").json()["changed"]["by"] == "the private port"

    @pytest.mark.parametrize("body", [{"by": "Ada"}, {**TOLD, "why": "?"}, {**TOLD, "by": "A\x00"}, []])
    def test_a_body_with_a_fault_changes_nothing(
        self, client: TestClient, followed: RegistryFleet, body: Any
    ) -> None:
        assert client.post("/rollback", json=body).status_code in (400, 422)
        newest = followed.newest()
        assert newest is not None
        assert newest.number == 2

    def test_a_rollback_ends_the_promotion_that_runs(
        self, client: TestClient, followed: RegistryFleet
    ) -> None:
        running = promotion(ref("d"), phase="canary")
        followed.change(lambda now: replace(generation(3, "b", former=(ref("a"),)), promotion=running))
        found = client.post("/rollback", json=TOLD).json()
        assert (found["champion"]["digest"], found["promotion"]["phase"]) == ("b" * 64, "rolled-back")
        assert found["promotion"]["why"] == "aborted by Ada: too many complaints"


def test_a_deadline_is_that_of_the_plan_in_the_record() -> None:
    plan = {"shadow": {"longest": "1h"}, "canary": [{"longest": "90s"}, {"longest": "2h"}], "prepare": {}}
    at = {
        (phase, step): deadline(promotion(ref("b"), phase=phase, step=step, plan=plan, since=1000.0))
        for phase, step in (("shadow", 0), ("canary", 0), ("canary", 1), ("canary", 2), ("prepare", 0))
    }
    assert at == {
        ("shadow", 0): 4600.0,
        ("canary", 0): 1090.0,
        ("canary", 1): 8200.0,
        ("canary", 2): None,
        ("prepare", 0): None,
    }
    assert deadline(promotion(ref("b"), phase="promoted", plan=plan)) is None
    assert change().promotion is None
