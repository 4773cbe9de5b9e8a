"""State of a service that follows a fleet, which the parent shows to its workers through shared memory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, Final
from zlib import crc32

_CELLS: Final = 2**16
"""Bytes of shared memory; a longer state loses its note, which alone has no bound of its own"""
_HEAD: Final = 8
_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class KeptBundle:
    """A bundle that is open beside the line-up, so that the fleet can return to it by a swap."""

    bundle: str
    """`name:version`"""
    until: float
    """Unix time, seconds"""


@dataclass(frozen=True, slots=True)
class FleetState:
    """What a service knows of its fleet, and how far it is with it."""

    name: str
    generation: int
    """Number of the record that it serves"""
    newest: int
    """Number of the newest record that it has seen"""
    stale: bool = False
    """Whether the registry does not answer, so that there may be later records"""
    fault: str | None = None
    """Why it cannot serve, or prepare, what the newest record says"""
    note: str | None = None
    """What else a person should know, in sentences"""
    prepared: str | None = None
    """The bundle that is open because the record asks for it: `name:version`"""
    kept: tuple[KeptBundle, ...] = ()
    promotion: str | None = None
    """Phase of the promotion in the record; None: there was none"""

    @property
    def lagging(self) -> bool:
        """Whether the service serves an older record than the newest one, or cannot know."""
        return self.stale or self.generation < self.newest

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for /health."""
        return {**asdict(self), "lagging": self.lagging}


class SharedFleetState:
    """The latest state: one process writes it, and those that it spawns read it. Neither ever waits."""

    def __init__(self) -> None:
        self._cells: Any = get_context("spawn").RawArray("B", _CELLS)

    def show(self, state: FleetState) -> None:
        """Replace the state; called from one thread."""
        data = json.dumps(asdict(state)).encode()
        if len(data) > _CELLS - _HEAD:
            shorter = {**asdict(state), "note": None, "fault": (state.fault or "")[:1000] or None, "kept": ()}
            data = json.dumps(shorter).encode()
        head = len(data).to_bytes(4, "big") + crc32(data).to_bytes(4, "big")
        self._cells[: _HEAD + len(data)] = head + data

    def latest(self) -> FleetState | None:
        """The state that was shown last; None before the first one."""
        for _ in range(_ATTEMPTS):
            copied = bytes(self._cells)
            length, check = int.from_bytes(copied[:4], "big"), int.from_bytes(copied[4:_HEAD], "big")
            data = copied[_HEAD : _HEAD + length]
            if not length:
                return None
            # A copy that was taken while another state was written does not add up.
            if crc32(data) == check:
                return _state(json.loads(data))
        return None


def _state(values: dict[str, Any]) -> FleetState:
    kept = tuple(KeptBundle(**one) for one in values.pop("kept"))
    return FleetState(**values, kept=kept)
