"""State in the store: the lease of the engine that leads, its state, and what people have done, by scripts.

A state is kept only by the engine whose fencing number is the lease's: an engine that was paused for longer
than its lease finds its write refused, however late it comes. People write acts, never the state, so they
need no lease.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Self, cast

import redis
import structlog
from redis.exceptions import NoScriptError

from monitoring.alerts.alert import Act
from monitoring.alerts.engine_state import AlertStateUnreadable, EngineState
from monitoring.alerts.signals import Reading
from monitoring.formats import FormatTooNew, known
from monitoring.store.connection import connect, translated_errors
from monitoring.store.contract import StoreUnavailable

logger = structlog.get_logger("demur.alerts")

LEASE: Final = 8.0
"""Seconds after which an engine that is heard of no more is followed by another one"""
_READINGS_LAST: Final = 15.0
_MOST_ACTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an engine stands among those of its store, and what they have left."""

    fence: int | None
    """Fencing number of this engine; None: another one leads"""
    leader: str
    state: EngineState | None
    """The state that is kept; None if it is the one known already, or none is kept"""
    acts: tuple[Act, ...]
    """What people have done since that state"""
    others: tuple[Reading, ...]
    """Readings of the other engines"""


class StoredState:
    """The state of the alerts of one model in the store; used from one thread.

    Every method raises StoreUnavailable if the store does not answer.
    """

    def __init__(self, client: redis.Redis, model: str, engine: str) -> None:
        """`engine`: name of this engine, which no other has."""
        self._client, self._engine = client, engine
        self._prefix = f"demur:{{{model}}}:alerts:"
        self._lease = f"{self._prefix}lease"
        self._follow, self._keep = _Script("follow"), _Script("keep")
        self._act, self._release = _Script("act"), _Script("release")
        self._version = ""
        self._stood_back = False

    @classmethod
    def at(cls, url: str, model: str, engine: str, *, timeout: float = 1.0) -> Self:
        """The state in the store at `url`, over a connection of its own; `close` at the end."""
        return cls(connect(url, timeout=timeout), model, engine)

    def close(self) -> None:
        """Close the connections to the store."""
        self._client.close()

    def follow(self, readings: Sequence[Reading], least_fence: int) -> Standing:
        """Take or renew the lease, leave this engine's readings and fetch what there is.

        `least_fence`: the largest fencing number that this engine has seen; a store that lost its memory must
        not give one out twice.
        """
        left = json.dumps([reading.to_dict() for reading in readings])
        with translated_errors():
            reply = self._run(
                self._follow,
                self._lease,
                self._prefix,
                self._engine,
                round(1000 * LEASE),
                least_fence,
                self._version,
                left,
                round(1000 * _READINGS_LAST),
            )
        fence, leader, version, document, acts, others = cast("list[Any]", reply)
        try:
            state = _state(document)
        except FormatTooNew as error:
            return self._stand_back(str(error))
        self._version = version.decode()
        return Standing(
            fence=int(fence) or None,
            leader=leader.decode(),
            state=state,
            acts=tuple(found for act in acts if (found := _act(act)) is not None),
            others=tuple(reading for text in others for reading in _readings(text)),
        )

    def keep(self, state: EngineState, fence: int, applied: Sequence[str]) -> bool:
        """Keep a state, and forget the acts that are a part of it. False: another engine leads since."""
        with translated_errors():
            arguments: list[str | int | bytes] = [
                self._prefix,
                self._engine,
                fence,
                state.to_json(),
                *applied,
            ]
            version = cast("bytes", self._run(self._keep, self._lease, *arguments))
        self._version = version.decode() or self._version
        return bool(version)

    def leave(self, act: Act) -> None:
        """Leave what a person has done for the engine that leads."""
        with translated_errors():
            key = f"{self._prefix}acts"
            taken = self._run(self._act, key, act.id, json.dumps(asdict(act)), _MOST_ACTS)
        if not taken:
            raise StoreUnavailable(f"{_MOST_ACTS} acts wait for an engine; none seems to run")

    def read(self) -> EngineState | None:
        """The state that is kept; None if there is none that this version reads."""
        with translated_errors():
            document = cast("bytes | None", self._client.hget(f"{self._prefix}state", "document"))
        with suppress(FormatTooNew):  # The engine says so.
            return None if document is None else _state(document)
        return None

    def release(self) -> None:
        """Give the lease back."""
        with translated_errors():
            self._run(self._release, self._lease, self._prefix, self._engine)

    def _stand_back(self, why: str) -> Standing:
        """Leave the lease to the later version, whose state this one must not overwrite."""
        if not self._stood_back:
            self._stood_back = True
            logger.error("alerts_left_to_a_later_version", why=why)
        self.release()
        return Standing(None, "a later version", None, (), ())

    def _run(self, script: _Script, key: str, *arguments: str | int | bytes) -> object:
        try:
            return self._client.evalsha(script.digest, 1, key, *arguments)
        except NoScriptError:
            self._client.script_load(script.text)
            return self._client.evalsha(script.digest, 1, key, *arguments)


class _Script:
    def __init__(self, name: str) -> None:
        self.text = (files("monitoring.alerts") / "lua" / f"{name}.lua").read_text("utf-8")
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _state(document: bytes) -> EngineState | None:
    if not document:
        return None
    try:
        return EngineState.from_json(document)
    except AlertStateUnreadable:
        return None  # damaged; what is on the disk and in memory goes on


def _act(document: bytes) -> Act | None:
    with suppress(ValueError, TypeError):
        return Act(**known(Act, json.loads(document)))
    return None


def _readings(text: bytes) -> list[Reading]:
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        return [Reading.from_dict(one) for one in json.loads(text)]
    return []
