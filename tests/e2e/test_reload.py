"""Changing the bundle while it serves: as one in all workers, between two requests, or not at all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fakes.service_process import ServiceProcess, eventually
from fakes.tiny_bundle import write_tiny_bundle

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allowed")
    write_tiny_bundle(folder / "one")
    write_tiny_bundle(folder / "two", stages=1, name="other")
    write_tiny_bundle(folder / "tampered")
    (folder / "tampered" / "README.md").write_text("changed")
    (folder / "linked").symlink_to(folder / "one")
    return folder


@pytest.fixture(scope="module")
def service(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("reload")
    with ServiceProcess(
        bundles / "one", folder, workers=2, cores=1, redis_url="off", admin_port=0, admin_token=TOKEN
    ) as running:
        yield running


@pytest.fixture
def admin(service: ServiceProcess) -> Iterator[httpx.Client]:
    (port,) = [line["port"] for line in service.logs() if line["event"] == "admin_port"]
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=60,
        trust_env=False,
    ) as client:
        assert client.post("/bundles/one/activate").status_code == 200
        yield client


def serving(service: ServiceProcess) -> set[str]:
    """Names of the bundles that answer, over enough connections to meet every worker."""
    names = set()
    for _ in range(12):
        with service.client() as client:
            names.add(client.get("/health").json()["bundle"]["name"])
    return names


def test_every_route_needs_the_token(service: ServiceProcess, admin: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        with httpx.Client(base_url=admin.base_url, headers=headers, trust_env=False) as stranger:
            for method, path in (
                ("GET", "/bundles"),
                ("POST", "/bundles/two/activate"),
                ("POST", "/rollback"),
                ("GET", "/nothing"),
            ):
                answer = stranger.request(method, path)
                assert answer.status_code == 401
                assert answer.json()["type"] == "urn:demur:problem:unauthorized"
    assert serving(service) == {"tiny"}
    audit = [line for line in service.logs() if line["event"] == "admin" and not line["allowed"]]
    assert len(audit) == 12
    assert TOKEN not in str(service.logs())


def test_the_public_port_has_no_admin(service: ServiceProcess) -> None:
    with service.client() as client:
        assert client.get("/bundles", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
        assert client.post("/rollback").status_code == 404


def test_bundles_go_by_name_from_the_folder_alone(admin: httpx.Client) -> None:
    assert admin.get("/bundles").json()["bundles"] == ["one", "tampered", "two"]
    for name in ("linked", "three", "..", "%2e%2e%2fone", "..%2f..%2fetc", "one%00", ".hidden"):
        assert admin.post(f"/bundles/{name}/activate").status_code in (404, 422), name


def test_verify_changes_nothing(service: ServiceProcess, admin: httpx.Client) -> None:
    summary = admin.post("/bundles/two/verify").json()
    assert summary["name"] == "other"
    assert "at most 1 %" in summary["certificates"]["onnxruntime-cpu/fp32"]
    refusal = admin.post("/bundles/tampered/verify")
    assert refusal.status_code == 409
    assert "README.md" in refusal.json()["detail"]
    assert serving(service) == {"tiny"}


def test_all_workers_change_as_one_and_back(service: ServiceProcess, admin: httpx.Client) -> None:
    assert serving(service) == {"tiny"}
    changed = admin.post("/bundles/two/activate").json()
    assert (changed["active"], changed["previous"]) == ("two", "one")
    assert serving(service) == {"other"}
    assert admin.post("/rollback").json()["active"] == "one"
    assert serving(service) == {"tiny"}


def test_a_bad_bundle_leaves_the_old_one_serving_and_says_why(
    service: ServiceProcess, admin: httpx.Client
) -> None:
    refusal = admin.post("/bundles/tampered/activate")
    assert refusal.status_code == 409
    assert refusal.json()["type"] == "urn:demur:problem:bundle-refused"
    assert "README.md" in refusal.json()["detail"]
    assert serving(service) == {"tiny"}
    assert admin.post("/bundles/two/activate").status_code == 200
    assert serving(service) == {"other"}


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
