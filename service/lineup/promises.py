"""Promises as the parent keeps them: when each bundle began, and what a broken one does."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import structlog

from bundle.manifest import BundleError
from monitoring.experiments.definition import AUTOMATIC
from monitoring.promise.archive import Archive
from service.errors import ChangeRefused, RecordUnreachable
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet
from service.lineup.lineup import label_of
from service.lineup.withdrawals import Withdrawals
from service.settings import NO_STORE, Settings

logger = structlog.get_logger("demur.promise")

_RETRY: Final = 2.0
"""Seconds between two tries while the record of the fleet cannot be reached"""


def promise_archive(settings: Settings, model: str) -> Archive:
    """Archive of the promise monitor. `model`: name of the windows if the settings give none."""
    url = None if settings.redis_url in (None, NO_STORE) else settings.redis_url
    return Archive(
        settings.data_dir / "promise", url, settings.model or model, timeout=settings.redis_timeout
    )


def note_activation(archive: Archive, label: str) -> None:
    """Let the monitor of a bundle that has become the champion begin anew, unless it is in alarm."""
    now = time.time()
    try:
        archive.change_latch(lambda latch: latch.activated(label, now))
    except OSError as error:
        logger.error("promise_state_not_kept", bundle=label, error=str(error))


class Exchange:
    """What follows from a broken promise: a challenger leaves at once; a champion is rolled back if that is
    wished, at most once, and never to a bundle that is in alarm."""

    def __init__(
        self,
        fleet: Fleet,
        archive: Archive,
        experiments: Experiments | None = None,
        withdrawals: Withdrawals | None = None,
        *,
        rolls_back: bool = True,
    ) -> None:
        """`withdrawals`: None: no challenger leaves; `rolls_back`: whether a champion may be exchanged."""
        self._fleet, self._archive = fleet, archive
        self._experiments = experiments or Experiments(fleet)
        self._withdrawals, self._rolls_back = withdrawals, rolls_back
        self._one_at_a_time = threading.Lock()
        self._begun: set[str] = set()

    def begin(self, bundle: str) -> None:
        """Exchange or withdraw the bundle with this label, on a thread of its own, unless that is going on.

        A champion is suspended meanwhile, and stays so if there is nothing to roll back to.
        """
        # Workers report a challenger at each look until it has left.
        if bundle not in self._begun:
            self._begun.add(bundle)
            threading.Thread(target=self._run, args=(bundle,), name="exchange", daemon=True).start()

    def _run(self, bundle: str) -> None:
        try:
            while not self._acted(bundle) and not self._fleet.stopping:
                time.sleep(_RETRY)
        finally:
            self._begun.discard(bundle)

    def _acted(self, bundle: str) -> bool:
        """Whether there is nothing left to do; False while the record of the fleet cannot be reached."""
        # Every worker reports it; the first report changes the line-up, and the others find another one.
        with self._one_at_a_time:
            try:
                if label_of(self._fleet.plan.champion) != bundle:
                    self._withdraw(bundle)
                elif self._rolls_back:
                    self._roll_back(bundle)
            except (BundleError, OSError, ChangeRefused) as error:
                again = isinstance(error, RecordUnreachable)
                logger.error("promise_not_acted_on", bundle=bundle, why=str(error), again=again)
                return not again
        return True

    def _withdraw(self, bundle: str) -> None:
        if self._withdrawals is not None:
            self._withdrawals.withdraw(bundle, "broken", self._broken(bundle))

    def _roll_back(self, bundle: str) -> None:
        champion, previous, label = self._fleet.plan.champion, self._fleet.previous, None
        record = self._experiments.record
        why = None if record is not None and previous is None else self._why_not(previous)
        if why is not None:
            logger.error("promise_not_rolled_back", bundle=bundle, why=why)
            return
        if record is not None:
            # One record decides for the whole fleet, so that of several services one rolls it back.
            label = record.roll_back(bundle, AUTOMATIC, self._broken(bundle))
        elif previous is not None:
            end = self._experiments.ending(f"the promise of the control, {bundle}, is broken")
            label = self._fleet.roll_back(champion, previous, end=end)
        if label is not None:
            logger.error("promise_rolled_back", bundle=bundle, to=label)

    def _broken(self, bundle: str) -> str:
        alarm = self._archive.latch().of(bundle).alarm("broken")
        evidence = "" if alarm is None else f", with an e-value of {alarm.e_value:.3g}"
        return f"the promise of {bundle} is broken: more answers are wrong than it allows{evidence}"

    def _why_not(self, previous: Path | None) -> str | None:
        if previous is None:
            return "there is no earlier champion; the bundle stays suspended"
        label = label_of(previous)
        if self._archive.latch().of(label).alarm("broken") is not None:
            return f"the promise of {label} is broken as well; the bundle stays suspended"
        return None
