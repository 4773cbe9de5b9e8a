"""Routes of experiments: start, change, withdraw, stop and report, and every fault of a body at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.experiment_log import LoggedExperiment
from fakes.experiment_scene import Scene
from fakes.lineup_record import Record
from starlette.testclient import TestClient

from service.admin.app import create_admin_app
from service.admin.experiment_log import ExperimentLog
from service.errors import RecordUnreachable
from service.lineup.lineup import label_of

TOKEN = "a-token-for-the-tests"
TOLD = {"by": "Ada", "reason": "two is smaller"}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def client(scene: Scene) -> TestClient:
    app = create_admin_app(
        scene.fleet,
        scene.one.parent,
        TOKEN,
        experiments=scene.experiments,
        experiment_log=ExperimentLog(scene.data / "events" / "signs"),
    )
    return TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"})


def start(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/experiments", json={"name": "ramp", "arms": {"two": 0.1}, **TOLD, **body})
    assert answer.status_code == 200, answer.text
    values: dict[str, Any] = answer.json()
    return values


def test_an_experiment_from_start_to_stop(client: TestClient, scene: Scene) -> None:
    two, three = label_of(scene.two), label_of(scene.three)
    assert client.get("/experiments").json() == {"experiments": []}
    began = start(client, salt="secret", on_mismatch="withdraw", guardrails={"risk": None, "slow": 2.5})
    assert (began["running"], began["names"], began["started"]["by"]) == (True, ["control", two], "Ada")
    assert "secret" not in str(began)
    assert (began["guardrails"]["risk"], began["guardrails"]["coverage"]) == (None, 0.1)
    changed = client.post("/experiments/ramp/share", json={"arm": "two", "share": 0.5, **TOLD}).json()
    assert changed["strata"][-1]["shares"] == {two: 0.5}
    changed = client.post("/experiments/ramp/share", json={"arm": "three", "share": "shadow", **TOLD}).json()
    assert changed["strata"][-1]["shadows"] == [three]
    assert client.get("/challengers").json()["challengers"] == [
        {"name": "two", "share": 0.5, "shadow": False},
        {"name": "three", "share": None, "shadow": True},
    ]
    # The ordinary routes change shares through the experiment.
    assert client.put("/challengers/two", json={"share": 0.2}).status_code == 200
    held = scene.folder.running()
    assert held is not None
    assert (held.stratum, held.strata[-1].note.by) == (3, "the private port")
    gone = client.post("/experiments/ramp/withdraw", json={"arm": two, **TOLD}).json()
    assert gone["withdrawals"][0]["cause"] == "request"
    assert client.post("/experiments/ramp/withdraw", json={"arm": two, **TOLD}).status_code == 404
    refused = client.post("/bundles/three/activate")
    assert refused.status_code == 409
    assert "stop it first" in refused.json()["detail"]
    report = client.get("/experiments/ramp/report").json()
    assert report["analysis"] == {"units": 0, "blocked": False, "reason": "no request yet"}
    assert client.post("/experiments/ramp/stop", json=TOLD).json()["running"] is False
    assert client.post("/experiments/ramp/stop", json=TOLD).status_code == 404
    assert client.get("/experiments/ramp/report").json()["running"] is False
    (listed,) = client.get("/experiments").json()["experiments"]
    assert listed["ended"]["reason"] == "two is smaller"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, ("by is missing", "reason is missing", "name is missing")),
        (
            {"name": "a b", "by": "", "reason": 3, "metrics": ["speed"], "arm": "two"},
            422,
            ("name is 'a b'", "by is ''", "reason is 3", "metrics.0 is 'speed'", "arm is no field"),
        ),
        (
            {"name": "x" * 70, "arms": {"two": 0, "three": 2, "one": "off"}, **TOLD},
            422,
            ("name is 'xxx", "arms.two is 0", "arms.three is 2", "arms.one is 'off'"),
        ),
        (
            {"name": "x", "guardrails": {"risk": -1, "speed": 1, "slow": "long"}, **TOLD},
            422,
            ("guardrails.risk is -1", "guardrails.speed is no field", "guardrails.slow is 'long'"),
        ),
        (
            {"name": "x", "arms": {"two": 0.6, "nine": 0.1, "three": 0.6, "../one": 0.1}, **TOLD},
            422,
            (
                "arms.nine: there is no bundle",
                "arms.../one: a bundle is named by",
                "the shares are 1.2 in sum",
            ),
        ),
        ({"name": "x", "arms": {"one": 0.5}, **TOLD}, 409, ("it is the champion already",)),
        ({"name": "x", **TOLD}, 409, ("there is no challenger to compare",)),
        ({"name": "x", "arms": {"two": float("inf")}, **TOLD}, 400, ("not JSON",)),
    ],
)
def test_every_fault_of_a_start_is_named(
    client: TestClient, scene: Scene, body: dict[str, Any], status: int, said: tuple[str, ...]
) -> None:
    if body.get("arms", {}).get("two") == float("inf"):
        headers = {"Content-Type": "application/json"}
        answer = client.post("/experiments", content=b'{"arms": {"two": Infinity}}', headers=headers)
    else:
        answer = client.post("/experiments", json=body)
    assert answer.status_code == status
    for part in said:
        assert part in answer.json()["detail"]
    assert scene.folder.names() == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/experiments/other/share", {"arm": "two", "share": 0.1, **TOLD}, 404),
        ("/experiments/other/stop", TOLD, 404),
        ("/experiments/other/withdraw", {"arm": "two", **TOLD}, 404),
        ("/experiments/ramp/share", {"arm": "nine", "share": 0.1, **TOLD}, 404),
        ("/experiments/ramp/share", {"arm": "../../etc", "share": 0.1, **TOLD}, 422),
        ("/experiments/ramp/share", {"arm": "two", "share": True, **TOLD}, 422),
        ("/experiments/ramp/share", {"arm": "two", "share": 0.1}, 422),
        ("/experiments/ramp/share", {"arm": "three", "share": 0.95, **TOLD}, 409),
        ("/experiments/ramp/stop", {"by": "Ada", "reason": " "}, 422),
        ("/experiments/ramp/stop", [], 422),
    ],
)
def test_bad_requests_change_nothing(
    client: TestClient, scene: Scene, path: str, body: Any, status: int
) -> None:
    start(client)
    before = scene.folder.running()
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert scene.folder.running() == before


def test_a_second_start_and_an_unknown_report(client: TestClient) -> None:
    start(client)
    answer = client.post("/experiments", json={"name": "other", **TOLD})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:demur:problem:experiment-refused")
    assert "the experiment ramp runs" in answer.json()["detail"]
    assert client.get("/experiments/other/report").status_code == 404
    assert client.get("/experiments/..%2Fother/report").status_code == 404


def test_a_damaged_file_is_said(client: TestClient, scene: Scene) -> None:
    start(client)
    (scene.folder.path / "ramp.json").write_text("{")
    assert client.get("/experiments/ramp/report").status_code == 409
    assert client.get("/experiments").json() == {"experiments": []}


def test_power_and_self_test_read_the_log_of_the_service(client: TestClient, scene: Scene) -> None:
    empty = client.get("/experiments/power")
    assert (empty.status_code, empty.json()["type"]) == (409, "urn:demur:problem:not-enough-events")
    LoggedExperiment(units=300, requests=2, named=False).write(scene.data)
    power = client.get("/experiments/power", params={"difference": 0.05, "share": 0.3}).json()
    assert 0.0 < power["fixed"]["units"] < power["anytime"]["units"]
    assert power["source"].startswith("300 units and 600 requests")
    found = client.get("/experiments/self-test", params={"deals": 10, "looks": 4}).json()
    assert (found["passed"], found["deals"], found["units"]) == (True, 10, 300)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "power?metric=speed&share=1&colour=red",
            ("metric is 'speed'", "share is '1'", "colour is no field"),
        ),
        ("power?difference=-1&power=nan", ("difference is '-1'", "power is 'nan'")),
        ("self-test?share=x&deals=9&looks=501", ("share is 'x'", "deals is '9'", "looks is '501'")),
    ],
)
def test_every_fault_of_a_query_is_named(client: TestClient, query: str, said: tuple[str, ...]) -> None:
    answer = client.get(f"/experiments/{query}")
    assert answer.status_code == 422
    assert all(part in answer.json()["detail"] for part in said), answer.json()["detail"]


def test_a_service_without_a_log_says_so(scene: Scene) -> None:
    app = create_admin_app(scene.fleet, scene.one.parent, TOKEN, experiments=scene.experiments)
    client = TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"})
    assert "keeps no event log" in client.get("/experiments/self-test").json()["detail"]


def test_a_followed_registry_names_the_bundles(client: TestClient, scene: Scene) -> None:
    two, three = label_of(scene.two), label_of(scene.three)
    record = Record({two: scene.two, "0123456789ab": scene.three, "challenger-three": scene.three})
    scene.experiments.record = record
    began = start(client, arms={two: 0.1})
    assert began["names"] == ["control", two]
    share = {"arm": "0123456789ab", "share": 0.2, **TOLD}
    changed = client.post("/experiments/ramp/share", json=share).json()
    assert changed["strata"][-1]["shares"] == {two: 0.1, three: 0.2}
    gone = client.post("/experiments/ramp/withdraw", json={"arm": "challenger-three", **TOLD}).json()
    assert gone["strata"][-1]["shares"] == {two: 0.1}
    assert client.delete(f"/challengers/{two}").status_code == 200
    assert client.put(f"/challengers/{two}", json={"share": 0.1}).status_code == 200
    assert [by for _, _, by, _ in record.entries] == ["Ada", "Ada", "Ada", *["the private port"] * 2]
    unknown = client.put("/challengers/two", json={"share": 0.1})
    assert unknown.status_code == 404
    assert "the registry has no bundle two" in unknown.json()["detail"]
    record.fault = RecordUnreachable("the registry does not answer")
    away = client.put(f"/challengers/{two}", json={"share": 0.1})
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert "the registry does not answer" in away.json()["detail"]
