"""/docs: Swagger UI from the service's own files, without inline scripts."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

FILES = {
    "docs/swagger-ui.css": "text/css; charset=utf-8",
    "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "docs/start.js": "text/javascript; charset=utf-8",
}


def test_the_page_loads_its_own_files_alone(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert {name for name in named if name != "data:,"} == set(FILES)
    assert not re.search(r"<script>|\son\w+=", answer.text)
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", FILES)
def test_its_files_are_served(client: TestClient, path: str) -> None:
    answer = client.get(f"/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FILES[path]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.content) > 100
    head = client.head(f"/{path}")
    assert (head.status_code, head.content) == (200, b"")


def test_nothing_is_sent_to_a_validator_elsewhere(client: TestClient) -> None:
    assert "validatorUrl: null" in client.get("/docs/start.js").text


@pytest.mark.parametrize("name", ["other.js", "docs.html", "../app.py", "..%2Fapp.py", "%2e%2e/app.py", ""])
def test_no_other_file_is_served(client: TestClient, name: str) -> None:
    answer = client.get(f"/docs/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["docs", "metrics", "health"])
def test_the_page_leads_to_them(client: TestClient, path: str) -> None:
    assert f'<a href="{path}">' in client.get("/").text
    assert client.get(f"/{path}").status_code == 200
