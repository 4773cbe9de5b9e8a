"""Servers of the comparison, each started as its documentation says, on given cores."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness import processes
from harness.venvs import peer_python

BENCHMARKS = Path(__file__).resolve().parents[1]
_START_TIMEOUT = 90.0
_LOOK_EVERY = 0.01


class ServerFailed(RuntimeError):
    """A server did not start or failed; the message names its log."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Parameters of a server's start."""

    bundle: Path
    scratch: Path
    """Folder of this server alone."""
    port: int
    workers: int = 1
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""


class Framework(Protocol):
    """One kind of server: how to start it and which paths it has."""

    name: str
    health: str
    """Path of its cheapest health check."""
    ready: str
    """Path that answers 200 once /predict does."""

    def command(self, launch: Launch) -> Sequence[str]: ...

    def environment(self, launch: Launch) -> Mapping[str, str]: ...


class Demur:
    """`demur serve` with everything observable on: log, metrics, events into the embedded Valkey."""

    name = "demur"
    health = "/health"
    ready = "/readyz"

    def command(self, launch: Launch) -> Sequence[str]:
        return (sys.executable, "-P", "-m", "demur.cli", "serve")

    def environment(self, launch: Launch) -> Mapping[str, str]:
        settings = {
            "bundle": str(launch.bundle),
            "port": str(launch.port),
            "workers": str(launch.workers),
            "data_dir": str(launch.scratch),
            "queue_limit": "256",
        }
        return {f"DEMUR_{name.upper()}": value for name, value in settings.items()}


class _Peer:
    """A server of another project, in its own virtual environment, over `harness.plain`."""

    name: str
    program: str
    """Path inside the virtual environment's bin folder."""

    @property
    def folder(self) -> Path:
        return BENCHMARKS / "peers" / self.name

    def _program(self) -> str:
        return str(peer_python(self.name).with_name(self.program))

    def environment(self, launch: Launch) -> Mapping[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent))),
            "BENCH_BUNDLE": str(launch.bundle),
            "BENCH_PORT": str(launch.port),
            "BENCH_WORKERS": str(launch.workers),
        }


class LitServe(_Peer):
    name = "litserve"
    program = "python"
    health = "/health"
    ready = "/health"

    def command(self, launch: Launch) -> Sequence[str]:
        return (self._program(), str(self.folder / "app.py"))


class BentoML(_Peer):
    name = "bentoml"
    program = "bentoml"
    health = "/livez"
    ready = "/readyz"

    def command(self, launch: Launch) -> Sequence[str]:
        # fmt: off
        return (
            self._program(), "serve", "app:Classifier", "--working-dir", str(self.folder),
            "--host", "127.0.0.1", "--port", str(launch.port),
        )
        # fmt: on

    def environment(self, launch: Launch) -> Mapping[str, str]:
        return {
            **super().environment(launch),
            "BENTOML_HOME": str(launch.scratch),
            "BENTOML_DO_NOT_TRACK": "True",
        }


class MLServer(_Peer):
    name = "mlserver"
    program = "mlserver"
    health = "/v2/health/live"
    ready = "/v2/health/ready"

    def command(self, launch: Launch) -> Sequence[str]:
        return (self._program(), "start", str(self.folder))

    def environment(self, launch: Launch) -> Mapping[str, str]:
        grpc, metrics = processes.free_ports(2)
        return {
            **super().environment(launch),
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(launch.port),
            "MLSERVER_GRPC_PORT": str(grpc),
            "MLSERVER_METRICS_PORT": str(metrics),
            "MLSERVER_METRICS_DIR": str(launch.scratch),
            "MLSERVER_PARALLEL_WORKERS": str(launch.workers),
        }


def is_worker(pid: int) -> bool:
    """Whether a process of a demur with several workers is a worker."""
    return "spawn_main" in processes.command(pid)


DEMUR = Demur()
PEERS: Mapping[str, Framework] = {peer.name: peer for peer in (LitServe(), BentoML(), MLServer())}


class RunningServer:
    """A started server."""

    def __init__(self, framework: Framework, launch: Launch, process: subprocess.Popen[bytes]) -> None:
        self.framework = framework
        self.launch = launch
        self.process = process
        self.start_seconds = 0.0
        """Seconds from the start of its program to the first 200 of `ready`."""

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.launch.port

    @property
    def log(self) -> Path:
        return self.launch.scratch / "log"

    def tree(self) -> list[int]:
        return processes.tree(self.process.pid)

    def cpu_seconds(self) -> float:
        """CPU time of all its processes, child processes included."""
        return processes.cpu_seconds(self.tree())

    def resident_mb(self) -> float:
        """Resident memory of all its processes; shared pages count in each."""
        return sum(processes.resident_mb(pid) for pid in self.tree())

    def get(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a GET; (0, b"") without an answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def wait_until_ready(self, began: float) -> None:
        """Wait for the first 200 of `ready`. Raises ServerFailed."""
        while self.get(self.framework.ready)[0] != 200:
            if self.process.poll() is not None:
                raise ServerFailed(
                    f"{self.framework.name} ended with {self.process.returncode}: {self.said()}"
                )
            if time.perf_counter() > began + _START_TIMEOUT:
                raise ServerFailed(f"{self.framework.name} was not ready in time: {self.said()}")
            time.sleep(_LOOK_EVERY)
        self.start_seconds = time.perf_counter() - began

    def stop(self, patience: float = 30.0) -> Stop:
        """Send SIGTERM to its main process, and wait; kill what is left over."""
        family = [found for pid in self.tree() if (found := processes.identity(pid)) is not None]
        began = time.perf_counter()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        killed = False
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            killed = True
            self.process.kill()
            self.process.wait()
        seconds = time.perf_counter() - began
        orphans = processes.wait_for_end(family, 2.0)
        processes.end(orphans)
        return Stop(seconds, len(orphans), killed, self.process.returncode)

    def said(self) -> str:
        """End of its log."""
        return f"its log ends with\n{self.log.read_text(errors='replace')[-2000:]}"


@dataclass(frozen=True, slots=True)
class Stop:
    """End of a server."""

    seconds: float
    """Seconds from SIGTERM to the end of its main process."""
    orphans: int
    """Number of its processes that lived on two seconds later."""
    killed: bool
    """Whether it did not end in time."""
    exit_code: int


def start(framework: Framework, launch: Launch, cores: Sequence[int]) -> RunningServer:
    """Start a server on these cores and wait until it is ready; its log is `log` in its scratch folder."""
    launch.scratch.mkdir(parents=True, exist_ok=True)
    # One thread per session, as the documentation of each of these servers advises beside other workers.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DEMUR_")},
        "OMP_NUM_THREADS": "1",
        **framework.environment(launch),
        **launch.extra,
    }
    began = time.perf_counter()
    with (launch.scratch / "log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores)), *framework.command(launch)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=launch.scratch,
            env=environment,
        )
    server = RunningServer(framework, launch, process)
    try:
        server.wait_until_ready(began)
    except BaseException:
        server.stop(5.0)
        raise
    return server


@contextmanager
def running(framework: Framework, launch: Launch, cores: Sequence[int]) -> Iterator[RunningServer]:
    """A server that runs inside the context."""
    server = start(framework, launch, cores)
    try:
        yield server
    finally:
        server.stop()
