"""Position of a service in the records of its fleet: what it serves, what it has seen, and what is wrong.

Threads share it: the one that follows, the one that reports, and those of the private port.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from bundle.registry.generation import Generation, Ref
from monitoring.metrics.fleet_instruments import FleetInstruments
from monitoring.metrics.promotion_instruments import PromotionInstruments
from service.following.followed_file import Followed, write_followed
from service.following.kept import KeptOpen
from service.following.state import FleetState, KeptBundle, SharedFleetState

logger = structlog.get_logger("demur.following")


@dataclass(frozen=True, slots=True)
class Troubles:
    """What is wrong, each in one sentence."""

    registry: str | None = None
    """Why the registry does not answer"""
    pull: str | None = None
    """Why a bundle cannot be pulled from it now"""
    record: str | None = None
    """Why a record cannot be read"""
    adoption: str | None = None
    """Why the newest record cannot be served"""
    preparation: str | None = None
    """Why the bundle that the record lets prepare cannot be opened"""
    store: str | None = None
    """Why no report reaches the store"""
    disk: str | None = None
    """Why the data folder does not keep what is served"""

    @property
    def stale(self) -> bool:
        """Whether the registry does not answer."""
        return self.registry is not None or self.pull is not None

    @property
    def fault(self) -> str | None:
        """Why the service cannot do what the fleet asks of it."""
        return self.adoption or self.preparation or self.record


class Position:
    """Where a service is."""

    def __init__(
        self, fleet: str, generation: Generation, shared: SharedFleetState, data_dir: Path, kept: KeptOpen
    ) -> None:
        """`generation`: what it serves at the start."""
        self.fleet, self.kept = fleet, kept
        self._shared, self._data_dir = shared, data_dir
        self._lock = threading.Lock()
        self._served = self._newest = generation
        self._beyond = 0
        self._prepared: tuple[Ref, int] | None = None
        self._troubles = Troubles()
        self._labels = {one.digest: one.label for one in generation.bundles()}
        self._gauges, self._phase = FleetInstruments(), PromotionInstruments()
        self._written: tuple[int, Mapping[str, float]] | None = None

    @property
    def served(self) -> Generation:
        """The record that is served."""
        return self._served

    @property
    def newest(self) -> Generation:
        """The newest record that was read."""
        return self._newest

    @property
    def prepared(self) -> int | None:
        """Number of the latest record whose `next` is open."""
        return None if self._prepared is None else self._prepared[1]

    @property
    def troubles(self) -> Troubles:
        return self._troubles

    def label(self, digest: str) -> str:
        """`name:version` of a bundle; its digest if no record that was read has named it."""
        return self._labels.get(digest, digest)

    def state(self) -> FleetState:
        """What /health and the metrics show."""
        with self._lock:
            return self._state()

    def saw(self, newest: Generation) -> None:
        """A newer record was read; or an older one, if the registry has lost those after it."""
        with self._lock:
            self._labels |= {one.digest: one.label for one in newest.bundles()}
            self._newest, self._beyond = newest, 0
            self._show()

    def serves(self, generation: Generation, before: Generation) -> None:
        """`generation` is served instead of `before`; of no effect if something else was served meanwhile."""
        with self._lock:
            if self._served is before:
                self._served = generation
                self._write()
                self._show()

    def recorded(self, generation: Generation) -> None:
        """This service has written a record, whose line-up its workers have prepared."""
        with self._lock:
            self._labels |= {one.digest: one.label for one in generation.bundles()}
            self._served = self._newest = generation
            self._write()
            self._show()

    def has_prepared(self, ref: Ref | None, number: int) -> None:
        """The bundle that the record of this number lets prepare is open; None: it asks for none."""
        with self._lock:
            self._prepared = None if ref is None else (ref, number)
            self._show()

    def has_trouble(self, **troubles: str | None) -> None:
        """Set fields of `Troubles`, and log those that are new or over."""
        with self._lock:
            for name, text in troubles.items():
                before = getattr(self._troubles, name)
                if text is not None and text != before:
                    logger.warning("fleet_trouble", fleet=self.fleet, of=name, why=text)
                elif text is None and before is not None:
                    logger.info("fleet_trouble_over", fleet=self.fleet, of=name)
            self._troubles = replace(self._troubles, **troubles)
            self._show()

    def unreadable(self, number: int, why: str) -> None:
        """The record of this number is there and cannot be read, so that it changes nothing here."""
        with self._lock:
            self._beyond = number
        self.has_trouble(record=why)

    def keep_on_disk(self) -> None:
        """Write what is served, if the disk does not have it."""
        with self._lock:
            self._write()
            self._show()

    def _state(self) -> FleetState:
        troubles = self._troubles
        notes = (troubles.registry or troubles.pull, troubles.store, troubles.disk, self.kept.note)
        promotion = self._newest.promotion
        until = self.kept.until.items()
        return FleetState(
            self.fleet,
            self._served.number,
            max(self._newest.number, self._beyond),
            stale=troubles.stale,
            fault=troubles.fault,
            note="; ".join(one for one in notes if one is not None) or None,
            prepared=None if self._prepared is None else self._prepared[0].label,
            kept=tuple(KeptBundle(self.label(digest), end) for digest, end in until),
            promotion=None if promotion is None else promotion.phase,
        )

    def _show(self) -> None:
        state = self._state()
        self._shared.show(state)
        self._gauges.show(state.name, state.generation, stale=state.stale)
        self._phase.show(state.name, state.promotion)

    def _write(self) -> None:
        now = (self._served.number, self.kept.until)
        if self._written == now and self._troubles.disk is None:
            return
        try:
            write_followed(self._data_dir, Followed(self.fleet, self._served, now[1]))
        except OSError as error:
            why = (
                f"the data folder does not keep what is served ({error.strerror or error}): free space there"
            )
            if self._troubles.disk is None:
                logger.error("followed_not_kept", why=why)
            self._troubles = replace(self._troubles, disk=why)
        else:
            self._written = now
            self._troubles = replace(self._troubles, disk=None)
