"""Settings: their sources, and the messages about faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings


def test_arguments_take_precedence_over_the_environment() -> None:
    environment = {"DEMUR_BUNDLE": "/b", "DEMUR_PORT": "9000", "DEMUR_HOST": "::1", "OTHER": "x"}
    settings = Settings.read(environment, port=9001, host=None)
    assert (settings.bundle, settings.port, settings.host) == (Path("/b"), 9001, "::1")


@pytest.mark.parametrize(
    ("environment", "arguments", "message"),
    [
        ({}, {}, r"bundle is not set; give it as an argument or as DEMUR_BUNDLE"),
        ({"DEMUR_PORT": "many"}, {"bundle": "b"}, r"DEMUR_PORT is 'many'"),
        ({}, {"bundle": "b", "port": 70000}, r"port is 70000: input should be less than or equal to 65535"),
        ({}, {"bundle": "b", "audit_share": 2}, r"audit_share is 2"),
        ({}, {"bundle": "b", "colour": "red"}, r"colour is no setting"),
        ({"DEMUR_MODEL": "a{b}"}, {"bundle": "b"}, r"DEMUR_MODEL is 'a\{b\}'"),
    ],
)
def test_a_faulty_setting_is_named_with_its_value(
    environment: dict[str, str], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.read(environment, **arguments)


def test_the_cores_are_shared_among_the_workers() -> None:
    assert Settings.read({}, bundle="b", cores=3, workers=2).cores_per_worker() == 3
    assert Settings.read({}, bundle="b", workers=250).cores_per_worker() == 1


def test_an_admin_port_needs_a_token() -> None:
    with pytest.raises(SettingsError, match="DEMUR_ADMIN_TOKEN"):
        Settings.read({}, bundle="b", admin_port=9000)


def test_the_token_is_never_shown() -> None:
    with pytest.raises(SettingsError, match="DEMUR_ADMIN_TOKEN: string should have at least 16") as fault:
        Settings.read({"DEMUR_ADMIN_TOKEN": "too-short-xyz"}, bundle="b")
    assert "xyz" not in str(fault.value)
    settings = Settings.read({"DEMUR_ADMIN_TOKEN": "long-enough-to-be-taken"}, bundle="b", admin_port=0)
    assert "long-enough" not in repr(settings)
