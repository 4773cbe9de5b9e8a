"""Record of the fleet as this service's own changes see it: each of them is a generation for all services."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.manifest import BundleError
from bundle.registry.errors import RegistryError, RegistryUnavailable
from bundle.registry.generation import Change, Generation
from bundle.registry.promotions import sent_back
from monitoring.experiments.definition import Definition
from service.errors import ChangeRefused, RecordUnreachable
from service.following.fleet_view import FollowedFleet
from service.following.lineups import recorded, same_lineup
from service.following.position import Position
from service.following.pulled import PulledBundles
from service.lineup.lineup import LineupPlan


class FollowedRecord:
    """A `LineupRecord` over the records of a fleet."""

    def __init__(
        self,
        fleet: FollowedFleet,
        position: Position,
        pulled: PulledBundles,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fleet, self._position, self._pulled, self._clock = fleet, position, pulled, clock

    def keep(self, plan: LineupPlan, experiment: Definition | None, by: str, reason: str) -> None:
        """See `LineupRecord`."""
        change = Change(self._clock(), by, reason)

        def build(now: Generation | None) -> Generation:
            served = self._position.served
            if now is None or not same_lineup(now, served):
                newest = "is gone" if now is None else f"is generation {now.number} ({now.change.reason})"
                raise ChangeRefused(
                    f"the newest record of fleet {self._fleet.name} {newest}, and this service serves "
                    f"generation {served.number}: another change came first; look at it and ask again"
                )
            return recorded(now, plan, experiment, change)

        with _translated():
            self._position.recorded(self._fleet.change(build))

    def folder_of(self, name: str) -> Path:
        """See `LineupRecord`."""
        with _translated():
            return self._pulled.fetch(self._fleet.resolve(name))

    def roll_back(self, champion: str, by: str, reason: str) -> str | None:
        """See `LineupRecord`."""
        change = Change(self._clock(), by, reason)

        def build(now: Generation | None) -> Generation:
            if now is None or now.champion is None or now.champion.label != champion:
                raise _AnotherChampion
            return sent_back(now, change, champion_broken=True)

        with _translated():
            try:
                made = self._fleet.change(build)
            except _AnotherChampion:
                return None
        return None if made.champion is None else made.champion.label


class _AnotherChampion(ChangeRefused):
    """The champion is another one by now."""


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the registry as those of a change of the line-up."""
    try:
        yield
    except RegistryUnavailable as error:
        raise RecordUnreachable(f"the registry does not take a record now: {error}") from error
    except (RegistryError, BundleError) as error:
        raise ChangeRefused(str(error)) from error
