"""The private port's description of itself, behind the token like everything else there."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
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
        ("get", "/health"),
        ("get", "/drift"),
        ("get", "/experiments"),
        ("post", "/experiments"),
        ("post", "/experiments/{name}/share"),
        ("post", "/experiments/{name}/withdraw"),
        ("post", "/experiments/{name}/stop"),
        ("get", "/experiments/{name}/report"),
        ("get", "/experiments/power"),
        ("get", "/experiments/self-test"),
        ("get", "/fleet"),
        ("get", "/promotions"),
        ("post", "/promotions"),
        ("post", "/promotions/resume"),
        ("post", "/promotions/approve"),
        ("post", "/promotions/abort"),
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


def test_no_page_describes_the_routes(client: TestClient) -> None:
    assert client.get("/docs", headers=ALLOWED).status_code == 404


def test_the_page_is_open_and_the_same_for_everybody(client: TestClient, tiny_bundle: Path) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/", headers=ALLOWED).content == page.content
    assert tiny_bundle.name not in page.text
    assert client.head("/").status_code == 200
    for method, path in (("POST", "/"), ("PUT", "/"), ("GET", "/page.css")):
        assert client.request(method, path).status_code == 401


def test_the_pages_policy_allows_its_own_script_and_style_alone(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        assert f"{tag}-src 'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<[^>]+\s(on[a-z]+|style)=", page.text)
    assert not re.search(r"(https?:)?//[a-z]", page.text)
