"""The real service in a separate process, as `demur serve` runs it, on a free port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from fakes.engine_timings import keep, lend
from fakes.log_secrets import leaks, log_files, secrets_of

_MAIN = """
import json, sys
from service.process.server import serve
from service.settings import Settings
if __name__ == "__main__":
    serve(Settings.read({}, **json.loads(sys.argv[1])), lambda serving: print(serving.url, flush=True))
    print(json.dumps(sorted(sys.modules)), flush=True)
"""


class ServiceProcess:
    """A context manager: inside, the service answers at `url`. At the end its logs are searched for every
    secret of its settings. Its bundle is not timed again if an earlier test has done so."""

    def __init__(
        self,
        bundle: Path | None,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`bundle`: None for a service that follows a registry. `environment`: further variables of it."""
        given = {"data_dir": str(folder), "port": 0, "drain": 0.2, **settings}
        if bundle is not None:
            given["bundle"] = str(bundle)
        script = folder / "main.py"
        folder.mkdir(parents=True, exist_ok=True)
        lend(folder)
        script.write_text(_MAIN)
        self._log_file = folder / f"log-{time.monotonic_ns()}.jsonl"
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(script), json.dumps(given)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            )
        self._folder = folder
        self._secrets = secrets_of(given, os.environ)
        self.url = ""
        self.modules: list[str] = []

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.process.wait()
            self.process.stdout.close()
            raise AssertionError(f"the service did not start:\n{self._log_file.read_text()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()
        keep(self._folder)
        assert leaks(log_files(self._folder), self._secrets) == []

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    @property
    def admin_port(self) -> int:
        """The private port, as the log says it."""
        (port,) = [line["port"] for line in self.logs() if line["event"] == "admin_port"]
        return int(port)

    def admin(self, token: str) -> httpx.Client:
        """A client of the private port."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.admin_port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
            trust_env=False,
        )

    def client(self, *, every_worker: bool = False) -> httpx.Client:
        """`every_worker`: one connection per request, so that each worker gets some."""
        headers = {"Connection": "close"} if every_worker else None
        return httpx.Client(base_url=self.url, timeout=120, trust_env=False, headers=headers)

    def stop(self, timeout: float = 150.0) -> int:
        """Send SIGTERM and wait. Returns the exit code."""
        self.process.terminate()
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        code = self.process.wait(timeout)
        if rest.strip():
            self.modules = json.loads(rest.strip().splitlines()[-1])
        return code

    def logs(self) -> list[dict[str, Any]]:
        """Every line of the log; each must be a JSON object."""
        # Not splitlines(): JSON may contain other characters that it takes for line ends.
        return [json.loads(line) for line in self._log_file.read_text().split("\n") if line]

    def descendants(self, *, running: bytes = b"") -> list[int]:
        """Living processes below the service; `running`: those whose command line holds this alone."""
        parents = dict(_living())
        found, frontier = [], {self.process.pid}
        while frontier:
            frontier = {pid for pid, parent in parents.items() if parent in frontier}
            found.extend(sorted(frontier))
        return [pid for pid in found if running in _command(pid)] if running else found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return any(pid == living for living, _ in _living())


def _living() -> list[tuple[int, int]]:
    """(pid, parent) of every process except zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != "Z":
                found.append((int(entry.name), int(parent)))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
