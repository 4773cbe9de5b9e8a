"""Follower: a thread of the parent that lets this service serve what the newest record of its fleet says.

It asks for the next record once a second, and when it is woken, and serves bundles that are open: a swap.
Whatever fails, the line-up that serves goes on. A record is served whole, or its champion alone while the
rest of it cannot be, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from bundle.registry.errors import RegistryDamaged, RegistryError, RegistryTooNew
from bundle.registry.fleet_log import FleetLog
from bundle.registry.generation import Generation
from monitoring.experiments.definition import Definition, DefinitionUnreadable
from service.errors import ChangeRefused
from service.following.lineups import definition_of, plan_of, serving_refs
from service.following.looking import LookingThread
from service.following.opener import Opener
from service.following.position import Position
from service.following.pulled import PulledBundles
from service.following.retry import Retry
from service.lineup.fleet import Fleet, Keep
from service.lineup.lineup import LineupPlan

logger = structlog.get_logger("demur.following")

Adopt = Callable[[Definition | None], Keep]
"""Gives what keeps the experiment of a record, with the line-up that it is in"""


class Follower(LookingThread):
    """The following of one service. `start` it once the workers answer; `close` it before they end."""

    def __init__(
        self,
        log: FleetLog,
        pulled: PulledBundles,
        position: Position,
        fleet: Fleet,
        opener: Opener,
        adopt: Adopt,
        changed: Callable[[], None],
    ) -> None:
        """`opener`: opens the bundles of the records that are read; `adopt`: see `Adopt`; `changed`: called
        when the service serves something else."""
        super().__init__("follower")
        self._log, self._pulled, self._position = log, pulled, position
        self._fleet, self._opener = fleet, opener
        self._adopt_experiment, self._changed = adopt, changed
        self._read_again = True
        """Whether the newest record must be looked for, and not the one after the last"""
        self._retry = Retry()

    def _failed(self, error: Exception) -> None:
        logger.exception("follower_failed")
        self._position.has_trouble(adoption=f"{type(error).__name__}: {error}")

    def look(self) -> None:
        """Read what is new, and let it serve."""
        before = self._position.newest
        self._read()
        newest = self._position.newest
        if newest is not before:
            self._opener.wake()
        if newest == self._position.served:
            self._position.has_trouble(adoption=None)
        elif self._retry.due(newest.number):
            self._retry.after(newest.number, done=self._adopt(newest))

    def _read(self) -> None:
        position, number = self._position, self._position.newest.number
        try:
            found = self._log.newest() if self._read_again else self._log.after(number)
            while found is not None and not self._stopping.is_set():
                if found.number < number:
                    logger.error("registry_went_back", fleet=position.fleet, now=found.number, before=number)
                if found != position.newest:
                    position.saw(found)
                number = found.number
                found = self._log.after(number)
        except (RegistryTooNew, RegistryDamaged) as error:
            position.unreadable(number + 1, str(error))
            position.has_trouble(registry=None)
        except RegistryError as error:
            self._read_again = True
            self._retry.reset()
            position.has_trouble(registry=str(error))
        else:
            self._read_again = False
            position.has_trouble(registry=None, record=None)

    def _adopt(self, newest: Generation) -> bool:
        """Serve a record as far as its bundles are open; whether nothing has failed."""
        if newest.champion is None:
            self._position.has_trouble(adoption=f"generation {newest.number} has no champion")
            return False
        opened = self._fleet.plan.folders()
        missing = [ref for ref in serving_refs(newest) if self._pulled.folder_of(ref) not in opened]
        if newest.champion in missing:
            return True  # The opener wakes this thread.
        if missing:
            # To go back to a champion must not wait for a challenger.
            newest = replace(newest, challengers=(), experiment=None)
        if newest == self._position.served:
            return True
        try:
            self._serve(newest, self._position.served)
        except (ChangeRefused, DefinitionUnreadable) as error:
            if not self._fleet.stopping:
                why = f"cannot serve generation {newest.number}: {error}"
                self._position.has_trouble(adoption=why)
                self._changed()
            return False
        if not missing:
            self._position.has_trouble(adoption=None)
        self._changed()
        return True

    def _serve(self, newest: Generation, before: Generation) -> None:
        """Let the workers serve a record, whose bundles are open, instead of `before`. Raises ChangeRefused
        and DefinitionUnreadable."""
        kept, left = self._position.kept, self._fleet.plan.champion.name

        def build(plan: LineupPlan) -> LineupPlan:
            if self._position.served is not before:
                raise ChangeRefused("this service has changed its line-up meanwhile")
            beside = self._opener.wanted(newest, plan)
            stays = [*beside, plan.champion] if kept.wanted else beside
            return plan_of(newest, self._pulled.folder, stays)

        former = [self._pulled.folder_of(one) for one in newest.former]
        adopt = self._adopt_experiment(definition_of(newest, self._pulled.folder))
        self._fleet.follow(build, former, adopt)
        kept.left(left, self._fleet.plan.champion.name)
        self._position.serves(newest, before)
        logger.info(
            "generation_served",
            generation=newest.number,
            reason=newest.change.reason,
            by=newest.change.by,
        )
