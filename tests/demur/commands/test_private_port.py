"""The private port that a verb talks to, from options and settings, and the name of who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from demur.commands import private_port as module
from demur.commands.private_port import NoPrivatePort, UnknownUser, private_port, user_or

TOKEN = "a-token-of-the-tests-0123456789"


def test_the_settings_of_the_service_name_the_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DEMUR_ADMIN_TOKEN", "DEMUR_ADMIN_PORT", "DEMUR_ADMIN_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoPrivatePort, match="set DEMUR_ADMIN_TOKEN"):
        private_port(None, None)
    settings = tmp_path / "service.env"
    settings.write_text(f"DEMUR_ADMIN_TOKEN={TOKEN}\n")
    with pytest.raises(NoPrivatePort, match="give --url, or set DEMUR_ADMIN_PORT"):
        private_port(None, settings)
    assert private_port("http://127.0.0.1:8001", settings) is not None


def test_a_user_without_a_name_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number alone."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(module, "getuser", nameless)
    assert user_or("ada", "--by") == "ada"
    with pytest.raises(UnknownUser, match="say who asks with --by"):
        user_or(None, "--by")
