"""The private port's description of itself, behind the token like everything else there."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.admin.app import create_admin_app
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan

TOKEN = "a-token-for-the-tests"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(tiny_bundle: Path) -> TestClient:
    fleet = Fleet(LineupPlan(tiny_bundle))
    return TestClient(create_admin_app(fleet, tiny_bundle.parent, TOKEN))


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/bundles"])
def test_nothing_is_shown_without_the_token(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:demur:problem:unauthorized"


def test_every_route_is_described_with_the_token(client: TestClient) -> None:
    document = client.get("/openapi.json", headers=ALLOWED).json()
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == {
        ("get", "/bundles"),
        ("post", "/bundles/{name}/verify"),
        ("post", "/bundles/{name}/activate"),
        ("post", "/rollback"),
        ("get", "/challengers"),
        ("put", "/challengers/{name}"),
        ("delete", "/challengers/{name}"),
        ("get", "/audits"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"200", "401"} <= set(operation["responses"])
            assert operation["security"] == [{"HTTPBearer": []}]


@pytest.mark.parametrize(("method", "path"), [("get", "/bundles"), ("get", "/challengers")])
def test_the_described_members_are_those_of_an_answer(client: TestClient, method: str, path: str) -> None:
    document = client.get("/openapi.json", headers=ALLOWED).json()
    content = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]
    answer = client.request(method, path, headers=ALLOWED)
    assert answer.status_code == 200
    assert set(answer.json()) == set(content["schema"]["required"]) == set(content["schema"]["properties"])


def test_there_is_no_page(client: TestClient) -> None:
    assert client.get("/docs", headers=ALLOWED).status_code == 404
