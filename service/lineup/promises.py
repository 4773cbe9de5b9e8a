"""Promises as the parent keeps them: when each bundle began, and the roll-back of a broken promise."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import structlog

from bundle.manifest import BundleError
from monitoring.promise.archive import Archive
from service.errors import ChangeRefused
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet
from service.lineup.lineup import label_of
from service.settings import NO_STORE, Settings

logger = structlog.get_logger("demur.promise")


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
    """Rolls a champion back whose promise is broken: at most once, and never to a bundle that is in alarm."""

    def __init__(self, fleet: Fleet, archive: Archive, experiments: Experiments | None = None) -> None:
        self._fleet, self._archive = fleet, archive
        self._experiments = experiments or Experiments(fleet)
        self._one_at_a_time = threading.Lock()

    def begin(self, bundle: str) -> None:
        """Roll back the bundle with this label on a thread of its own, if it is the champion. It is suspended
        meanwhile, and stays so if there is nothing to roll back to."""
        threading.Thread(target=self._run, args=(bundle,), name="exchange", daemon=True).start()

    def _run(self, bundle: str) -> None:
        # Every worker reports it; the first report changes the champion, and the others find another one.
        with self._one_at_a_time:
            champion, previous = self._fleet.plan.champion, self._fleet.previous
            try:
                if label_of(champion) != bundle:
                    return
                why = self._why_not(previous)
                if previous is None or why is not None:
                    logger.error("promise_not_rolled_back", bundle=bundle, why=why)
                    return
                end = self._experiments.ending(f"the promise of the control, {bundle}, is broken")
                label = self._fleet.roll_back(champion, previous, end=end)
            except (BundleError, OSError, ChangeRefused) as error:
                logger.error("promise_not_rolled_back", bundle=bundle, why=str(error))
            else:
                logger.error("promise_rolled_back", bundle=bundle, to=label)

    def _why_not(self, previous: Path | None) -> str | None:
        if previous is None:
            return "there is no earlier champion; the bundle stays suspended"
        label = label_of(previous)
        if self._archive.latch().of(label).alarm("broken") is not None:
            return f"the promise of {label} is broken as well; the bundle stays suspended"
        return None
