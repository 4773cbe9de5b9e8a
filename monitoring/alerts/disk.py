"""State on the disk: what the engine goes on from without the store, and what people have done meanwhile.

One folder per data folder. Files are written whole; one that was cut or changed is not used, and said.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from errno import EPERM
from hashlib import sha256
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

import structlog

from monitoring.alerts.alert import Act
from monitoring.alerts.engine_state import AlertStateUnreadable, EngineState
from monitoring.formats import FormatTooNew, known

logger = structlog.get_logger("demur.alerts")

_STATE: Final = "state.json"
_MOST_ACTS: Final = 1000


class AlertFolder:
    """The folder `alerts` of a data folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._lock: IO[bytes] | None = None
        self._newer = False
        """Whether a later version has kept its state here, in a form that this one does not read"""

    def try_lead(self) -> bool:
        """Whether this process leads among those with the same folder; it does so until `close`, or its end.

        Raises OSError if the folder cannot be made or locked.
        """
        if self._lock is not None:
            return True
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        except OSError:
            lock.close()
            raise
        self._lock = lock
        return True

    def close(self) -> None:
        """Let another process lead."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read(self) -> EngineState:
        """The state; an empty one if there is none that can be used."""
        content = self._content(self.path / _STATE)
        if content is None:
            return EngineState()
        try:
            return EngineState.from_json(content)
        except (AlertStateUnreadable, FormatTooNew) as error:
            self._newer = isinstance(error, FormatTooNew)
            logger.error("alert_state_refused", file=str(self.path / _STATE), why=str(error))
            return EngineState()

    def keep(self, state: EngineState) -> None:
        """Keep a state. Raises OSError, also if a later version keeps its own here."""
        if self._newer:
            raise OSError(EPERM, "a later version of demur keeps its state there")
        self._write(self.path / _STATE, state.to_json())

    def leave(self, act: Act) -> None:
        """Leave what a person has done for the engine. Raises OSError."""
        folder = self.path / "acts"
        if folder.is_dir() and len(os.listdir(folder)) >= _MOST_ACTS:
            raise OSError(f"{_MOST_ACTS} acts wait in {folder}; no engine seems to run")
        self._write(folder / f"{act.id}.json", json.dumps(asdict(act)).encode())

    def acts(self) -> tuple[Act, ...]:
        """What people have done and no engine has taken yet."""
        return tuple(self._acts())

    def forget(self, acts: tuple[Act, ...]) -> None:
        """Forget acts that are a part of a kept state."""
        for act in acts:
            (self.path / "acts" / f"{act.id}.json").unlink(missing_ok=True)

    def _acts(self) -> Iterator[Act]:
        try:
            found = sorted((self.path / "acts").glob("*.json"))
        except OSError:
            return
        for path in found:
            content = self._content(path)
            try:
                if content is not None:
                    yield Act(**known(Act, json.loads(content)))
            except (ValueError, TypeError) as error:
                logger.error("alert_act_refused", file=str(path), why=str(error))

    def _content(self, path: Path) -> bytes | None:
        try:
            digest, _, content = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.error("alert_state_refused", file=str(path), why=error.strerror)
            return None
        if digest != _digest(content):
            logger.error("alert_state_refused", file=str(path), why="it was cut or changed")
            return None
        return content

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{uuid4().hex}.new")
        try:
            with fresh.open("wb") as file:
                file.write(_digest(content) + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
