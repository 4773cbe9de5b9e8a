"""Routes of promotions, over a registry in a folder and a promoter that is noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.followed_fleet import NotedPromoter, RegistryFleet
from fakes.generations import generation, promotion, ref
from starlette.testclient import TestClient

from bundle.registry import changes
from bundle.registry.generation import Change, PromotionState, Ref
from service.admin.app import create_admin_app
from service.admin.promoter import PromotionOrder
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan

TOKEN = "a-token-for-the-tests"
TOLD = {"by": "Ada", "reason": "two more months of labels"}


@pytest.fixture
def followed(tmp_path: Path) -> RegistryFleet:
    fleet = RegistryFleet(tmp_path / "registry")
    fleet.change(lambda now: generation(1, "a"))
    return fleet


@pytest.fixture
def newcomer(followed: RegistryFleet, tiny_bundle: Path) -> Ref:
    """A bundle of the registry."""
    return followed.registry.push(tiny_bundle, "tests")


@pytest.fixture
def promoter(followed: RegistryFleet, tmp_path: Path) -> NotedPromoter:
    return NotedPromoter(tmp_path / "output.log")


@pytest.fixture
def client(tiny_bundle: Path, followed: RegistryFleet, promoter: NotedPromoter) -> TestClient:
    return client_of(tiny_bundle, followed, promoter)


def client_of(bundle: Path, followed: RegistryFleet, promoter: NotedPromoter | None) -> TestClient:
    app = create_admin_app(
        Fleet(LineupPlan(bundle)), bundle.parent, TOKEN, followed=followed, promoter=promoter
    )
    return TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False)


def runs(followed: RegistryFleet, newcomer: Ref, **fields: Any) -> PromotionState:
    """A promotion that is in the record."""
    state = promotion(newcomer, **fields)

    def build(now: Any) -> Any:
        return changes.with_promotion(now, state, Change(1.0, "tests", "a promotion"))

    followed.change(build)
    return state


def kind_of(answer: Any) -> str:
    return str(answer.json()["type"].removeprefix("urn:demur:problem:"))


def test_a_promotion_begins_with_its_promoters_first_record(
    client: TestClient, followed: RegistryFleet, promoter: NotedPromoter, newcomer: Ref
) -> None:
    assert client.get("/promotions").json() == {"fleet": "scenes", "generation": 1, "promotion": None}
    promoter.work = lambda order: runs(followed, newcomer, phase="gates", id="p7")
    plan = {"canary": []}
    answer = client.post("/promotions", json={"bundle": newcomer.digest[:8], "plan": plan, **TOLD})
    assert answer.status_code == 200, answer.text
    found = answer.json()["promotion"]
    assert (found["id"], found["phase"], found["running"]) == ("p7", "gates", True)
    assert promoter.orders == [PromotionOrder("scenes", "Ada", TOLD["reason"], newcomer.digest, plan)]
    assert client.get("/promotions").json() == answer.json()


def test_what_a_promoter_refuses_is_said_in_its_own_words(
    client: TestClient, promoter: NotedPromoter, newcomer: Ref
) -> None:
    promoter.said = "the bundle is the champion already"
    answer = client.post("/promotions", json={"bundle": newcomer.label, **TOLD})
    assert (answer.status_code, kind_of(answer)) == (409, "promotion-refused")
    assert answer.json()["detail"] == "the bundle is the champion already"


def test_one_that_has_ended_before_anybody_looked_is_shown(
    client: TestClient, followed: RegistryFleet, promoter: NotedPromoter, newcomer: Ref
) -> None:
    promoter.said = "rolled back"
    promoter.work = lambda order: runs(followed, newcomer, phase="rolled-back", why="golden failed")
    found = client.post("/promotions", json={"bundle": newcomer.digest, **TOLD}).json()["promotion"]
    assert (found["running"], found["why"]) == (False, "golden failed")


def test_no_second_one_begins_while_one_runs(
    client: TestClient, followed: RegistryFleet, promoter: NotedPromoter, newcomer: Ref
) -> None:
    runs(followed, newcomer, phase="canary")
    answer = client.post("/promotions", json={"bundle": newcomer.digest, **TOLD})
    assert kind_of(answer) == "promotion-refused"
    assert "p1" in answer.json()["detail"]
    assert "/promotions/abort" in answer.json()["detail"]
    assert promoter.orders == []


@pytest.mark.parametrize(
    ("bundle", "status"),
    [
        ("0" * 64, 404),
        ("nothing:0123456789abcdef", 404),
        ("champion", 404),
        ("../etc/passwd", 422),
        ("/etc/passwd", 422),
        ("a" * 201, 422),
        ("", 422),
        (None, 422),
        (7, 422),
    ],
)
def test_a_bundle_that_the_registry_does_not_have_is_refused(
    client: TestClient, promoter: NotedPromoter, newcomer: Ref, bundle: Any, status: int
) -> None:
    answer = client.post("/promotions", json={"bundle": bundle, **TOLD})
    assert answer.status_code == status, answer.text
    assert promoter.orders == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/promotions", {"bundle": "a", "by": "Ada"}, "reason"),
        ("/promotions", {"bundle": "a", "by": "A\x07", "reason": "r"}, "by"),
        ("/promotions", {"bundle": "a", "by": "A" * 201, "reason": "r"}, "by"),
        ("/promotions", {"bundle": "a", "plan": "plan.yaml", **TOLD}, "plan"),
        ("/promotions/approve", {"by": "Ada"}, "comment"),
        ("/promotions/abort", {"by": "Ada", "reason": " "}, "reason"),
        ("/promotions/resume", {"by": "Ada", "reason": "r"}, "reason"),
    ],
)
def test_a_body_with_a_fault_names_its_field(
    client: TestClient, path: str, body: dict[str, Any], field: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_a_service_that_no_promoter_was_given_says_what_to_do(
    tiny_bundle: Path, followed: RegistryFleet, newcomer: Ref
) -> None:
    client = client_of(tiny_bundle, followed, None)
    for path, body in (
        ("/promotions", {"bundle": newcomer.digest, **TOLD}),
        ("/promotions/resume", {"by": "Ada"}),
    ):
        answer = client.post(path, json=body)
        assert kind_of(answer) == "no-promoter"
        assert "demur promote" in answer.json()["detail"]


def test_an_approval_and_an_abort_are_records(
    client: TestClient, followed: RegistryFleet, newcomer: Ref
) -> None:
    for path, body in (("approve", {"by": "Ada", "comment": "seen"}), ("abort", TOLD)):
        assert kind_of(client.post(f"/promotions/{path}", json=body)) == "no-promotion"
    runs(followed, newcomer, phase="canary")
    early = client.post("/promotions/approve", json={"by": "Ada", "comment": "seen"})
    assert kind_of(early) == "no-promotion"
    assert "its phase is canary" in early.json()["detail"]
    runs(followed, newcomer, phase="approval")
    found = client.post("/promotions/approve", json={"by": "Ada", "comment": "seen"}).json()["promotion"]
    assert (found["approval"]["by"], found["approval"]["comment"]) == ("Ada", "seen")
    found = client.post("/promotions/abort", json=TOLD).json()["promotion"]
    assert (found["phase"], found["why"]) == ("rolled-back", f"aborted by Ada: {TOLD['reason']}")
    newest = followed.newest()
    assert newest is not None
    assert (newest.champion, newest.change.by) == (ref("a"), "Ada")


def test_a_promotion_goes_on_under_another_promoter(
    client: TestClient, followed: RegistryFleet, promoter: NotedPromoter, newcomer: Ref
) -> None:
    assert kind_of(client.post("/promotions/resume", json={"by": "Ada"})) == "no-promotion"
    state = runs(followed, newcomer, phase="canary")

    def take_over(order: PromotionOrder) -> None:
        after = replace(state, term=state.term + 1, holder="host-2")
        followed.change(lambda now: changes.with_promotion(now, after, Change(2.0, "Ada", "resumed")))  # type: ignore[arg-type]

    promoter.work = take_over
    found = client.post("/promotions/resume", json={"by": "Ada"}).json()["promotion"]
    assert found["holder"] == "host-2"
    assert promoter.orders == [PromotionOrder("scenes", "Ada")]
