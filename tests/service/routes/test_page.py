"""The page at /: complete, without external resources, and limited to its own script by its policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.testclient import TestClient


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"<!--.*?-->", "", answer.text))
    assert '<html lang="en">' in answer.text
    assert 'name="viewport"' in answer.text


def test_its_policy_allows_its_own_script_and_style_alone(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert f"{tag}-src 'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    # The policy would block attributes with script or style without an error.
    assert not re.search(r"<[^>]+\s(on[a-z]+|style)=", answer.text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_its_script_is_well_formed(client: TestClient, tmp_path: Path) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", client.get("/").text, re.DOTALL)
    file = tmp_path / "page.js"
    file.write_text(script)
    checked = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_control_has_a_name(client: TestClient) -> None:
    text = client.get("/").text
    for tag in re.findall(r"<(?:input|section)[^>]*>", text):
        assert re.search(r"aria-label(ledby)?=", tag), tag
