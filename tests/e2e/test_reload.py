"""Bundle changes while the service runs: in all workers at once, between two requests, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.experiments.dealing import Dealing, RunningExperiment

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allowed")
    write_tiny_bundle(folder / "one")
    write_tiny_bundle(folder / "two", stages=1, name="other")
    write_tiny_bundle(folder / "third", feasible=False, name="third")
    write_tiny_bundle(folder / "three-classes", classes=3, name="wider")
    write_tiny_bundle(folder / "tampered")
    (folder / "tampered" / "README.md").write_text("changed")
    write_tiny_bundle(folder / "too-new")
    _rewrite(folder / "too-new" / "bundle.json", schema_version=999)
    (folder / "linked").symlink_to(folder / "one")
    return folder


def _rewrite(manifest: Path, **fields: Any) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **fields}))


@pytest.fixture(scope="module")
def service(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("reload")
    with ServiceProcess(
        bundles / "one", folder, workers=2, cores=1, redis_url="off", admin_port=0, admin_token=TOKEN
    ) as running:
        yield running


@pytest.fixture
def admin(service: ServiceProcess) -> Iterator[httpx.Client]:
    with service.admin(TOKEN) as client:
        assert client.post("/bundles/one/activate").status_code == 200
        for challenger in client.get("/challengers").json()["challengers"]:
            assert client.delete(f"/challengers/{challenger['name']}").status_code == 200
        yield client


def serving(service: ServiceProcess) -> set[str]:
    """Names of the bundles that answer, over enough connections to reach every worker."""
    with service.client(every_worker=True) as client:
        return {client.get("/health").json()["bundle"]["name"] for _ in range(12)}


def test_every_route_needs_the_token(service: ServiceProcess, admin: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        with httpx.Client(base_url=admin.base_url, headers=headers, trust_env=False) as stranger:
            for method, path in (
                ("GET", "/bundles"),
                ("POST", "/bundles/two/activate"),
                ("POST", "/rollback"),
                ("GET", "/challengers"),
                ("PUT", "/challengers/two"),
                ("DELETE", "/challengers/two"),
                ("GET", "/nothing"),
            ):
                answer = stranger.request(method, path)
                assert answer.status_code == 401
                assert answer.json()["type"] == "urn:demur:problem:unauthorized"
    assert serving(service) == {"tiny"}
    audit = [line for line in service.logs() if line["event"] == "admin" and not line["allowed"]]
    assert len(audit) == 21
    assert TOKEN not in str(service.logs())


def test_the_public_port_has_no_admin(service: ServiceProcess) -> None:
    with service.client() as client:
        assert client.get("/bundles", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
        assert client.post("/rollback").status_code == 404


def test_bundles_are_named_and_come_from_one_folder(admin: httpx.Client) -> None:
    assert admin.get("/bundles").json()["bundles"] == [
        "one",
        "tampered",
        "third",
        "three-classes",
        "too-new",
        "two",
    ]
    for name in ("linked", "four", "..", "%2e%2e%2fone", "..%2f..%2fetc", "one%00", ".hidden"):
        assert admin.post(f"/bundles/{name}/activate").status_code in (404, 422), name


def test_verify_changes_nothing(service: ServiceProcess, admin: httpx.Client) -> None:
    summary = admin.post("/bundles/two/verify").json()
    assert summary["name"] == "other"
    assert "at most 1 %" in summary["certificates"]["onnxruntime-cpu/fp32"]
    refusal = admin.post("/bundles/tampered/verify")
    assert refusal.status_code == 409
    assert "README.md" in refusal.json()["detail"]
    assert serving(service) == {"tiny"}


def test_all_workers_change_together_and_back(service: ServiceProcess, admin: httpx.Client) -> None:
    assert serving(service) == {"tiny"}
    changed = admin.post("/bundles/two/activate").json()
    assert (changed["active"], changed["previous"]) == ("two", "one")
    assert serving(service) == {"other"}
    again = admin.post("/bundles/two/activate").json()
    assert (again["active"], again["previous"]) == ("two", "one")
    assert admin.post("/rollback").json()["active"] == "one"
    assert serving(service) == {"tiny"}


def test_a_refused_bundle_leaves_the_old_one_serving(service: ServiceProcess, admin: httpx.Client) -> None:
    refusal = admin.post("/bundles/tampered/activate")
    assert refusal.status_code == 409
    assert refusal.json()["type"] == "urn:demur:problem:bundle-refused"
    assert "README.md" in refusal.json()["detail"]
    assert serving(service) == {"tiny"}
    assert admin.post("/bundles/two/activate").status_code == 200
    assert serving(service) == {"other"}


def test_a_second_roll_back_does_not_return_to_the_first_bundle(admin: httpx.Client) -> None:
    assert admin.post("/bundles/two/activate").status_code == 200
    assert admin.post("/rollback").json()["active"] == "one"
    again = admin.post("/rollback")
    assert (again.status_code, again.json()["type"]) == (409, "urn:demur:problem:nothing-to-roll-back")


def test_a_bundle_without_a_promise_is_activated_only_on_request(
    service: ServiceProcess, admin: httpx.Client, make_colour_image: Images
) -> None:
    refusal = admin.post("/bundles/third/activate")
    assert refusal.status_code == 409
    assert "?allow=abstaining" in refusal.json()["detail"]
    assert "149 more independent labelled images" in refusal.json()["detail"]
    assert serving(service) == {"tiny"}
    assert admin.post("/bundles/third/activate?allow=everything").status_code == 422
    assert admin.post("/bundles/third/activate?allow=abstaining").status_code == 200
    with service.client() as client:
        answer = client.post("/predict", content=make_colour_image(1, 1.0), headers=JPEG).json()
    assert (answer["decision"], answer["reason"]) == ("abstain", "no-promise")


def test_wrong_tokens_are_slowed_down_counted_and_logged_as_warnings(
    service: ServiceProcess, admin: httpx.Client
) -> None:
    def refusals() -> float:
        with service.client() as client:
            lines = client.get("/metrics").text.splitlines()
        found = (line for line in lines if line.startswith('demur_admin_refusals_total{token="wrong"}'))
        return float(next(found, " 0").rsplit(" ", 1)[1])

    before, durations = refusals(), []
    with httpx.Client(base_url=admin.base_url, trust_env=False) as stranger:
        for _ in range(6):
            began = time.perf_counter()
            assert stranger.get("/bundles", headers={"Authorization": "Bearer no"}).status_code == 401
            durations.append(time.perf_counter() - began)
    assert durations[-1] >= 0.1
    assert refusals() - before == 6
    lines = [line for line in service.logs() if line["event"] == "admin" and not line["allowed"]]
    assert {line["level"] for line in lines} == {"warning"}
    assert admin.get("/bundles", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(("name", "why"), [("tampered", "README.md"), ("too-new", "999")])
def test_every_refusal_gives_the_reason(admin: httpx.Client, name: str, why: str) -> None:
    for method, path, body in (
        ("POST", f"/bundles/{name}/activate", None),
        ("PUT", f"/challengers/{name}", {"share": 0.5}),
    ):
        refusal = admin.request(method, path, json=body)
        assert refusal.status_code == 409
        assert why in refusal.json()["detail"]
    assert admin.get("/challengers").json() == {**admin.get("/challengers").json(), "challengers": []}


def test_a_deleted_bundle(service: ServiceProcess, admin: httpx.Client, bundles: Path) -> None:
    """The one that serves, too: it stays in memory, and only the way back to it is lost."""
    shutil.copytree(bundles / "one", bundles / "fleeting")
    assert admin.post("/bundles/fleeting/activate").status_code == 200
    assert admin.put("/challengers/two", json={"share": 0.5}).status_code == 200
    shutil.rmtree(bundles / "fleeting")
    assert admin.put("/challengers/two", json={"shadow": True}).status_code == 200
    assert serving(service) == {"tiny"}
    assert admin.post("/bundles/fleeting/activate").status_code == 404
    assert admin.post("/bundles/two/activate").status_code == 200
    refusal = admin.post("/rollback")
    assert refusal.status_code == 409
    assert serving(service) == {"other"}


def challengers(service: ServiceProcess) -> set[tuple[str, float | None]]:
    """Challengers, equal on every worker."""
    seen = []
    with service.client(every_worker=True) as client:
        for _ in range(12):
            listed = client.get("/health").json()["challengers"]
            seen.append({(one["name"], one["share"]) for one in listed})
    assert all(one == seen[0] for one in seen)
    return seen[0]


def test_challengers_change_in_all_workers(
    service: ServiceProcess, admin: httpx.Client, make_colour_image: Images
) -> None:
    image = make_colour_image(1, 0.9)

    def answering(unit: str) -> set[str]:
        headers = {**JPEG, "X-Unit-Id": unit}
        with service.client(every_worker=True) as client:
            answers = [client.post("/predict", content=image, headers=headers) for _ in range(4)]
            return {answer.json()["bundle"]["name"] for answer in answers}

    added = admin.put("/challengers/two", json={"share": 0.5})
    assert added.json()["challengers"] == [{"name": "two", "share": 0.5, "shadow": False}]
    assert challengers(service) == {("other", 0.5)}
    half = RunningExperiment("default", "", 0, Dealing.of({"other:1": 0.5}))
    assigned = {None: {"tiny"}, "other:1": {"other"}}
    for unit in (f"camera-{number}" for number in range(6)):
        assert answering(unit) == assigned[half.arm_of(unit)]
    assert admin.put("/challengers/third", json={"shadow": True}).status_code == 200
    assert admin.put("/challengers/two", json={"share": 0.25}).status_code == 200
    assert challengers(service) == {("other", 0.25), ("third", None)}

    def shares() -> dict[str, float]:
        with service.client() as client:
            lines = client.get("/metrics").text.splitlines()
        found = (line.removeprefix('demur_bundle_share{bundle="').split('"} ') for line in lines)
        return {one[0].split(":")[0]: float(one[1]) for one in found if len(one) == 2}

    eventually(lambda: (shares()["tiny"], shares()["other"], shares()["third"]) == (0.75, 0.25, 0.0))
    assert admin.delete("/challengers/two").status_code == 200
    assert admin.delete("/challengers/two").status_code == 404
    assert challengers(service) == {("third", None)}
    eventually(lambda: (shares()["tiny"], shares()["other"]) == (1.0, 0.0))
    audit = [line for line in service.logs() if line["event"] == "admin_answered"]
    assert ("PUT", "/challengers/two", 200) in {(one["method"], one["path"], one["status"]) for one in audit}
    assert ("DELETE", "/challengers/two", 404) in {
        (one["method"], one["path"], one["status"]) for one in audit
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "share"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"share": "0.5"}, "share"),
        ({"share": 0.5, "shadow": True}, "share"),
        ({"shadow": False}, "share"),
    ],
)
def test_invalid_shares_are_refused(admin: httpx.Client, body: dict[str, Any], field: str) -> None:
    refusal = admin.put("/challengers/two", json=body)
    assert (refusal.status_code, refusal.json()["field"]) == (422, field)


def test_challengers_that_do_not_fit_the_champion_are_refused(
    service: ServiceProcess, admin: httpx.Client
) -> None:
    for name, share, why in (
        ("one", 0.5, "champion already"),
        ("three-classes", 0.5, "must know the same classes"),
        ("third", 0.6, "1.1 in sum"),
    ):
        assert admin.put("/challengers/two", json={"share": 0.5}).status_code == 200
        refusal = admin.put(f"/challengers/{name}", json={"share": share})
        assert refusal.status_code == 409
        assert why in refusal.json()["detail"]
        assert challengers(service) == {("other", 0.5)}
    for name in ("..", "%2e%2e%2fone", "linked", "four"):
        assert admin.put(f"/challengers/{name}", json={"share": 0.1}).status_code in (404, 405, 422)


def test_a_restarted_worker_has_the_same_lineup(service: ServiceProcess, admin: httpx.Client) -> None:
    assert admin.post("/bundles/two/activate").status_code == 200
    assert admin.put("/challengers/one", json={"share": 0.125}).status_code == 200
    before = service.descendants()
    for pid in before:
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)

    def changed() -> bool:
        with service.client() as client:
            try:
                return client.get("/health").status_code == 200
            except httpx.HTTPError:
                return False

    eventually(lambda: changed() and len(set(service.descendants()) - set(before)) >= 2)
    assert serving(service) == {"other"}
    assert challengers(service) == {("tiny", 0.125)}


def test_a_worker_that_starts_later_counts_in_the_same_windows(
    bundles: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    """The champion has another name by then; windows and event log keep the name of the first one."""
    with (
        ServiceProcess(bundles / "one", tmp_path, cores=1, admin_port=0, admin_token=TOKEN) as service,
        service.client() as client,
    ):
        port = service.admin_port
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{port}/bundles/two/activate"
        assert httpx.post(url, headers=headers, trust_env=False, timeout=120).status_code == 200
        (worker,) = [
            pid for pid in service.descendants() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: worker not in service.descendants())
        answer = client.post("/predict", content=make_colour_image(1, 0.9), headers=JPEG)
        assert answer.json()["bundle"]["name"] == "other"
        eventually(lambda: client.get("/rolling").json()["predictions"] == 1)
    assert [folder.name for folder in (tmp_path / "events").iterdir()] == ["tiny"]


def test_no_request_is_lost_while_bundles_change(
    service: ServiceProcess, admin: httpx.Client, make_colour_image: Images
) -> None:
    image = make_colour_image(1, 0.9)
    outcomes: Counter[tuple[int, str, int]] = Counter()
    done = threading.Event()

    def load() -> None:
        with service.client() as client:
            while not done.is_set():
                answer = client.post("/predict", content=image, headers=JPEG)
                body = answer.json()
                outcomes[answer.status_code, body["bundle"]["name"], body["label"]] += 1

    clients = [threading.Thread(target=load) for _ in range(8)]
    for client in clients:
        client.start()
    for name in ("two", "one", "two", "tampered", "one", "two"):
        before = sum(outcomes.values())
        assert admin.post(f"/bundles/{name}/activate").status_code == (409 if name == "tampered" else 200)
        eventually(lambda seen=before: sum(outcomes.values()) > seen + 10)
    done.set()
    for client in clients:
        client.join()
    assert set(outcomes) == {(200, "tiny", 1), (200, "other", 1)}


def test_a_shadow_is_shed_first_and_costs_no_answer(
    bundles: Path, tmp_path: Path, make_colour_image: Images
) -> None:
    """Sixteen clients on one core: the champion answers every request, and the shadow gets the free time."""
    image = make_colour_image(1, 0.9, size=(600, 800))
    outcomes: Counter[tuple[int, str]] = Counter()
    with ServiceProcess(
        bundles / "one",
        tmp_path,
        cores=1,
        redis_url="off",
        challengers=f"{bundles / 'two'}=shadow",
        shadow_images=4,
    ) as service:

        def load() -> None:
            with service.client() as client:
                for _ in range(25):
                    answer = client.post("/predict", content=image, headers=JPEG)
                    outcomes[answer.status_code, answer.json()["bundle"]["name"]] += 1

        clients = [threading.Thread(target=load) for _ in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert outcomes == {(200, "tiny"): 400}

        def shadows() -> dict[str, float]:
            with service.client() as client:
                lines = client.get("/metrics").text.splitlines()
            found = (line for line in lines if line.startswith("demur_shadows_total{"))
            return {line.split('outcome="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in found}

        # Every image was offered, and either computed when a slot was free, or shed.
        eventually(lambda: sum(shadows().values()) == 400)
        assert shadows()["shed"] > 200
        assert shadows().get("failed", 0) == 0
