"""Settings: their sources, and the messages about faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.signing_keys import write_certified, write_pair

from service.environment import environment_notes
from service.errors import SettingsError
from service.settings import Settings


class TestSignatures:
    def test_off_by_default_and_without_keys(self) -> None:
        assert Settings.read({}, bundle="b").trust() is None
        assert Settings.read({"DEMUR_TRUSTED_KEYS": "gone.pem"}, bundle="b").trust() is None

    @pytest.mark.parametrize("mode", ["warn", "require", " Require "])
    def test_several_keys(self, mode: str, tmp_path: Path) -> None:
        first, second = write_pair(tmp_path, "first").public, write_certified(tmp_path, "anna").authority
        environment = {"DEMUR_SIGNATURES": mode, "DEMUR_TRUSTED_KEYS": f"{first}, {second}"}
        trust = Settings.read(environment, bundle="b").trust()
        assert trust is not None
        assert (trust.mode, trust.keys) == (mode.strip().lower(), (first, second))

    @pytest.mark.parametrize(
        ("mode", "keys", "message"),
        [
            ("require", "", "signatures is 'require', but no key is trusted; .* in DEMUR_TRUSTED_KEYS, or"),
            ("warn", "", "signatures is 'warn', but no key is trusted"),
            ("require", "gone.pem", "DEMUR_TRUSTED_KEYS: .*gone.pem is not there"),
            ("require", "empty.pem", "DEMUR_TRUSTED_KEYS: .*empty.pem holds neither a public key nor"),
            ("require", "ours.pem", "DEMUR_TRUSTED_KEYS: .*ours.pem is a private key"),
            ("always", "ours.pub.pem", "DEMUR_SIGNATURES is 'always': input should be 'off', 'warn' or"),
        ],
    )
    def test_faults_are_reported_at_the_start(
        self, mode: str, keys: str, message: str, tmp_path: Path
    ) -> None:
        write_pair(tmp_path, "ours")
        (tmp_path / "empty.pem").touch()
        keys = str(tmp_path / keys) if keys else ""
        with pytest.raises(SettingsError, match=message):
            Settings.read({"DEMUR_SIGNATURES": mode, "DEMUR_TRUSTED_KEYS": keys}, bundle="b")


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
        (
            {"DEMUR_WINDOWS": "10,x"},
            {"bundle": "b"},
            r"DEMUR_WINDOWS is 'x': input should be",
        ),
        ({"DEMUR_WINDOWS": "0"}, {"bundle": "b"}, r"DEMUR_WINDOWS is '0': .* greater than or equal to 1"),
        ({"DEMUR_WINDOWS": "100001"}, {"bundle": "b"}, r"less than or equal to 100000"),
        ({"DEMUR_WINDOWS": "1,2,3,4,5,6,7"}, {"bundle": "b"}, r"DEMUR_WINDOWS is .* at most 6 items"),
        ({"DEMUR_WINDOWS": ","}, {"bundle": "b"}, r"DEMUR_WINDOWS is .* at least 1 item"),
        ({"DEMUR_MODEL": "a{b}"}, {"bundle": "b"}, r"DEMUR_MODEL is 'a\{b\}'"),
    ],
)
def test_a_faulty_setting_is_named_with_its_value(
    environment: dict[str, str], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.read(environment, **arguments)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("INFO", "log_level", "info"),
        (" Warn ", "log_level", "warning"),
        (" Text", "log_format", "text"),
        ("STDOUT", "log_stream", "stdout"),
        ('"debug"', "log_level", "debug"),
        ("OpenVINO", "engine", "openvino"),
        ("FP32", "precision", "fp32"),
        ("AUTO", "batch", None),
        ("", "port", 8000),
        (" \n", "workers", 1),
        ("9000\r\n", "port", 9000),
        ("'9000'", "port", 9000),
        ("False", "event_log", False),
        ("demur-data/x\n", "data_dir", Path("demur-data/x")),
        ("~/data", "data_dir", Path.home() / "data"),
        ("tcp://10.0.0.1:8000", "port", 8000),
        ("tcp://10.0.0.1:8001", "admin_port", None),
        ("TCP://[fd00::1]:8000", "port", 8000),
        ("100, 10,100\n", "windows", (10, 100)),
        ("OFF", "redis_url", "off"),
        ("redis://store:6379/0\n", "redis_url", "redis://store:6379/0"),
    ],
)
def test_values_as_shells_and_containers_write_them(value: str, name: str, expected: object) -> None:
    settings = Settings.read({f"DEMUR_{name.upper()}": value}, bundle="b")
    assert getattr(settings, name) == expected


def test_variables_without_effect_are_named() -> None:
    links = {
        "DEMUR_SERVICE_HOST": "10.0.0.1",
        "DEMUR_SERVICE_PORT": "8000",
        "DEMUR_SERVICE_PORT_HTTP": "8000",
        "DEMUR_PORT": "tcp://10.0.0.1:8000",
        "DEMUR_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "DEMUR_PORT_8000_TCP_ADDR": "10.0.0.1",
        "DEMUR_REDIS_SERVICE_HOST": "10.0.0.2",
        "DEMUR_REDIS_PORT": "tcp://10.0.0.2:6379",
        "DEMUR_REDIS_PORT_6379_TCP_PROTO": "tcp",
    }
    others = {
        "DEMUR_QUEUE_LIMT": "7",
        "DEMUR_SHOES": "2",
        "DEMUR_DEBUG": "1",
        "DEMUR_WORKER": "",
    }
    notes = environment_notes({**links, **others, "DEMUR_WORKERS": "2"}, Settings.model_fields)
    assert len(notes) == 3
    assert "DEMUR_PORT is 'tcp://10.0.0.1:8000', which Kubernetes sets" in notes[0]
    assert notes[1] == "DEMUR_QUEUE_LIMT is no setting; did you mean DEMUR_QUEUE_LIMIT?"
    assert notes[2] == "DEMUR_SHOES is no setting"


@pytest.mark.parametrize("url", ["tcp://10.0.0.1:6379", "http://user:secret@store", "store:6379"])
def test_a_store_at_no_redis_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"DEMUR_REDIS_URL: .*redis://") as fault:
        Settings.read({"DEMUR_REDIS_URL": url}, bundle="b")
    assert url not in str(fault.value)


def test_only_the_port_of_a_kubernetes_service_is_a_link() -> None:
    with pytest.raises(SettingsError, match=r"DEMUR_WORKERS is 'tcp://x:1'"):
        Settings.read({"DEMUR_WORKERS": "tcp://x:1"}, bundle="b")


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\n\n"])
def test_a_token_may_end_with_a_line_end(end: str) -> None:
    token = "long-enough-to-be-taken"
    settings = Settings.read({"DEMUR_ADMIN_TOKEN": token + end}, bundle="b", admin_port=0)
    assert settings.admin_token == token
    assert Settings.read({}, bundle="b", admin_token=token + end).admin_token == token


@pytest.mark.parametrize("token", ["two-lines-\nof-a-token", "with a space in it", "mit-ümlaut-und-mehr"])
def test_a_token_that_no_client_can_send_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="printable ASCII") as fault:
        Settings.read({"DEMUR_ADMIN_TOKEN": token}, bundle="b", admin_port=0)
    assert token not in str(fault.value)


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
