"""A real Prometheus on 127.0.0.1, for tests and pictures: Debian's package `prometheus`."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from harness.processes import free_ports

_PATIENCE = 30.0


class PrometheusFailed(RuntimeError):
    """It did not start, or refused a query; the message has its last lines or its reason."""


class MonitoringServer:
    """A context manager; inside it the program answers at `url`. `ready`: path that says so."""

    def __init__(self, command: Sequence[str], folder: Path, ready: str = "/-/ready") -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._ready = ready
        self._log = folder / f"{Path(command[0]).name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log
            )

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def __enter__(self) -> Self:
        give_up = time.monotonic() + _PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                raise PrometheusFailed("\n".join(self._log.read_text().splitlines()[-5:]))
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, path: str, **parameters: str) -> Any:
        """The JSON of an answer. Raises PrometheusFailed with the reason of a refusal."""
        address = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise PrometheusFailed(error.read().decode(errors="replace")) from error

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready, timeout=2):
                return True
        except OSError:
            return False


def prometheus(folder: Path, config: Mapping[str, Any], program: str = "prometheus") -> MonitoringServer:
    """A Prometheus with its configuration and data in `folder`. An alert is sent again every second: those of
    its first seconds find no Alertmanager yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
    command = (program, "--config.file=prometheus.yml", "--storage.tsdb.path=data")
    return MonitoringServer((*command, "--rules.alert.resend-delay=1s", "--log.level=warn"), folder)
