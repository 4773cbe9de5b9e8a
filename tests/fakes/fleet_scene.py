"""One machine with what a promotion needs: an S3 server, a Valkey, and `demur` as a person calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self
from unittest.mock import patch
from urllib.parse import urlsplit

from fakes.fleet_bundles import write_fleet_bundle
from fakes.s3_server import S3Server
from fakes.tcp_proxy import TcpProxy

from bundle.registry.fleet_log import FleetLog
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.verify import read_manifest
from monitoring.store.embedded_valkey import EmbeddedValkey

FLEET: Final = "tiny"
_PATIENCE: Final = 300.0


class FleetScene:
    """A context manager: inside, registry and store are up, the registry behind a proxy. This process has the
    variables that lead a client to the S3 server itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.s3 = self._stack.enter_context(S3Server(self.folder / "s3"))
        parts = urlsplit(self.s3.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.proxy = self._stack.enter_context(TcpProxy((parts.hostname, parts.port)))
        self.store = self._stack.enter_context(EmbeddedValkey(self.folder / "valkey"))
        self._stack.enter_context(patch.dict(os.environ, self.s3.environment))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that lead a service or a command here."""
        return {
            **self.s3.environment,
            "AWS_ENDPOINT_URL": self.proxy.url,
            "DEMUR_REGISTRY": self.s3.address(),
            "DEMUR_REDIS_URL": self.store.url,
            # Starts are as for a person, with the bytecode of an earlier start.
            "PYTHONDONTWRITEBYTECODE": "",
        }

    @cached_property
    def registry(self) -> Registry:
        """The registry, past the proxy."""
        return open_registry(self.s3.address())

    @property
    def log(self) -> FleetLog:
        """The fleet's records, likewise."""
        return self.registry.fleet(FLEET)

    def write(self, name: str, **options: Any) -> Path:
        """A bundle of the fleet in the folder `name`; `options` as in `write_fleet_bundle`."""
        return write_fleet_bundle(self.folder / "bundles" / name, **options)

    def start(self, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
        """`demur` with these arguments; `more`: further variables."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "demur.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **self.environment, **more},
        )

    def demur(self, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """The same to its end."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(timeout=_PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def version_of(bundle: Path) -> str:
    """The version that answers of a bundle name."""
    return read_manifest(bundle).version
