"""Following of a service: the parts that its supervisor starts, hands on and ends."""

from __future__ import annotations

from service.following.fleet_view import FollowedFleet
from service.following.follower import Adopt, Follower
from service.following.kept import KeptOpen
from service.following.opener import Opener, Trial
from service.following.opening import OpenedFleet
from service.following.position import Position
from service.following.record import FollowedRecord
from service.following.reporter import Reporter
from service.following.state import SharedFleetState
from service.lineup.fleet import Fleet
from service.settings import NO_STORE, Settings


class Following:
    """What one service does because it follows a fleet."""

    def __init__(
        self,
        opened: OpenedFleet,
        settings: Settings,
        shared: SharedFleetState,
        fleet: Fleet,
        trial: Trial,
    ) -> None:
        """`fleet`: the workers, with the line-up of `opened`; `shared`: what the workers show of it; `trial`:
        tries a bundle before the workers open it."""
        self._opened, self._settings, self._fleet = opened, settings, fleet
        store = None if settings.redis_url in (None, NO_STORE) else settings.redis_url
        self.position = Position(
            opened.name,
            opened.generation,
            shared,
            settings.data_dir,
            KeptOpen(settings.keep_previous, opened.kept),
        )
        self._trial = trial
        self._follower: Follower | None = None
        self._opener: Opener | None = None
        self._reporter: Reporter | None = None
        if store is not None:
            self._reporter = Reporter(
                *(store, settings.name_in_fleet(), self.position, fleet, self._wake),
                timeout=settings.redis_timeout,
            )
        self.view = FollowedFleet(
            opened.registry, self.position, store, self._wake, timeout=settings.redis_timeout
        )
        self.record = FollowedRecord(self.view, self.position, opened.pulled)
        if opened.stale is None:
            self.position.keep_on_disk()
        self.position.has_trouble(registry=opened.stale)

    def start(self, adopt: Adopt, admin_url: str | None) -> None:
        """Follow from now on: every worker answers. `adopt`: gives what takes the experiment of a record."""
        adopt(self._opened.experiment)(self._opened.plan)
        pulled = self._opened.pulled
        self._opener = Opener(self._fleet, pulled, self.position, self._trial, self._on_opened)
        self._follower = Follower(
            *(self.view.log, pulled, self.position, self._fleet, self._opener),
            adopt,
            self._report,
        )
        self._follower.start()
        self._opener.start()
        if self._reporter is not None:
            self._reporter.start(admin_url)

    def close(self) -> None:
        """End what was started."""
        for part in (self._follower, self._opener, self._reporter):
            if part is not None:
                part.close()

    def _wake(self) -> None:
        if self._follower is not None:
            self._follower.wake()

    def _on_opened(self) -> None:
        self._wake()
        self._report()

    def _report(self) -> None:
        if self._reporter is not None:
            self._reporter.report_now()


def followed(
    opened: OpenedFleet | None,
    settings: Settings,
    shared: SharedFleetState | None,
    fleet: Fleet,
    trial: Trial,
) -> Following | None:
    """The following of a service; None if it follows no fleet. The arguments are those of `Following`."""
    if opened is None or shared is None:
        return None
    return Following(opened, settings, shared, fleet, trial)
