"""docker-compose.yml: sound for real readers, closed by default, and with no secret in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from fakes.compose_file import EXAMPLE, FILE, FILLED, ROOT, composed, example, services, variables
from fakes.programs import run_program

from service.settings import Settings

EVERY = pytest.mark.parametrize("name", list(services()))
SERVING = pytest.mark.parametrize("name", ["service", "service-gpu"])
PROFILES = {"service": ["cpu"], "service-gpu": ["gpu"], "trainer": ["train"]}
PRIVATE = {9000, 9090, 9093, 3000}
"""Ports of the machine that only its own loopback address has"""
COMPOSE = ROOT / "deploy" / "compose"


def ports_of(service: dict[str, Any]) -> list[tuple[str, int]]:
    """(address, port) of the machine, for each port that is published."""
    return [(one.split(":")[0], int(one.split(":")[1])) for one in service.get("ports", ())]


def test_the_specification_takes_it_and_refuses_what_it_does_not_know() -> None:
    whole = composed()
    assert set(PyCompose.from_yaml(yaml.safe_dump(whole)).to_dict()["services"]) == set(services())
    whole["services"]["valkey"]["cap_dropp"] = ["ALL"]
    with pytest.raises(ValueError, match="cap_dropp"):
        PyCompose.from_yaml(yaml.safe_dump(whole))


def test_a_compose_program_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in FILLED.items()))
    done = run_program("docker-compose", "--env-file", file, "-f", FILE, "config")
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(services())


@pytest.mark.parametrize("missing", sorted(name for name, (kind, _) in variables().items() if kind == "?"))
def test_a_missing_variable_is_named(missing: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in FILLED.items() if name != missing))
    done = run_program("docker-compose", "--env-file", file, "-f", FILE, "config")
    assert done.returncode != 0
    assert (
        f"${{{missing}:?set it in .env to" in done.stderr or f"${{{missing}:?set it in .env," in done.stderr
    )


def test_the_example_names_every_variable_and_gives_no_secret_away() -> None:
    needed = {name for name, (kind, _) in variables().items() if kind == "?"}
    assert needed == set(FILLED)
    assert {name for name, value in example().items() if not value} == needed
    assert example()["COMPOSE_PROFILES"] == "cpu"
    optional = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    defaults = {name: default for name, (kind, default) in variables().items() if kind == "-"}
    assert optional == {**defaults, "TRAINER_IMAGE": ""}
    assert not [name for name in defaults if re.search("TOKEN|PASSWORD|SECRET", name)]


@EVERY
def test_a_container_is_closed(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert {"cpus", "mem_limit", "pids_limit"} <= set(service)
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert service.get("profiles") == PROFILES.get(name)
    if name == "trainer":
        assert service["healthcheck"] == {"disable": True}, "it runs once, and its exit code says how"
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"


@EVERY
def test_an_image_is_named_by_the_environment_alone(name: str) -> None:
    raw = yaml.safe_load(FILE.read_text())["services"][name]["image"]
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:[?-].*\}", raw)
    if name != "trainer":
        assert "@sha256:" in services()[name]["image"]


def test_only_the_public_port_may_leave_the_machine() -> None:
    published = [port for service in services().values() for port in ports_of(service)]
    assert {port for _, port in published} == {8000, *PRIVATE}
    assert {address for address, _ in published} == {"127.0.0.1"}
    raw = yaml.safe_load(FILE.read_text())["services"]
    movable = [port for one in raw.values() for port in one.get("ports", ()) if "${" in port]
    assert set(movable) == {"${PUBLIC_ADDRESS:-127.0.0.1}:8000:8000"}
    store = services()["valkey"]
    assert "ports" not in store
    assert store["networks"] == ["store"]
    assert composed()["networks"]["store"] == {"internal": True}
    assert {name for name, one in services().items() if "store" in one.get("networks", ())} == {
        *("valkey", "service", "service-gpu")
    }


@SERVING
def test_the_service_reads_its_environment_and_has_time_to_stop(name: str) -> None:
    service = services()[name]
    settings = Settings.read({key: str(value) for key, value in service["environment"].items()})
    assert settings.engine == ("onnxruntime-cuda" if name == "service-gpu" else "auto")
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.drain + 2 * settings.stop_timeout + 10
    assert grace < settings.drain + 2 * settings.stop_timeout + 11
    start = float(service["healthcheck"]["start_period"].removesuffix("s"))
    assert start > settings.prepare_timeout
    assert str(settings.cores) == str(service["cpus"])
    assert service["depends_on"] == {"valkey": {"condition": "service_healthy"}}
    writable = [mount for mount in service["volumes"] if not mount.endswith(":ro")]
    assert writable == [f"data:{settings.data_dir}"]


def test_prometheus_is_the_one_that_is_shipped_with_other_names() -> None:
    here = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    shipped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = here["scrape_configs"][0]["static_configs"][0]["targets"]
    (alertmanager,) = here["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    service = services()["service"]
    assert targets == [
        f"{service['networks']['default']['aliases'][0]}:{service['environment']['DEMUR_PORT']}"
    ]
    assert alertmanager.split(":")[0] in services()
    here["scrape_configs"][0]["static_configs"] = shipped["scrape_configs"][0]["static_configs"]
    here["alerting"] = shipped["alerting"]
    assert here == shipped


def test_promtool_takes_what_the_container_mounts(tmp_path: Path) -> None:
    for source, place in mounts("prometheus", "/etc/prometheus/"):
        link = tmp_path / place
        link.symlink_to(source)
    done = run_program("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule files found" in done.stdout


def test_what_is_mounted_exists_and_grafana_finds_its_dashboards() -> None:
    for name in ("prometheus", "alertmanager", "grafana"):
        for source, _ in mounts(name, "/"):
            assert source.exists() or source.name == "smtp-password"
    (provider,) = yaml.safe_load((COMPOSE / "grafana" / "dashboards.yml").read_text())["providers"]
    places = {f"/{place}": source for source, place in mounts("grafana", "/")}
    folder = places[provider["options"]["path"]]
    assert len(list(folder.glob("*.json"))) == 5
    (source,) = yaml.safe_load((COMPOSE / "grafana" / "datasources.yml").read_text())["datasources"]
    name, _, port = source["url"].removeprefix("http://").partition(":")
    assert port in services()[name]["ports"][0].split(":")


def test_the_password_of_the_mail_server_lies_where_alertmanager_reads_it() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    places = {f"/{place}" for _, place in mounts("alertmanager", "/")}
    assert config["global"]["smtp_auth_password_file"] in places


def mounts(name: str, below: str) -> list[tuple[Path, str]]:
    """(file or folder here, its place below `below` in the container) of each bind mount."""
    found = []
    for mount in services()[name]["volumes"]:
        source, place, *_ = mount.split(":")
        if source.startswith(".") and place.startswith(below):
            found.append(((ROOT / source).resolve(), place.removeprefix(below)))
    return found
