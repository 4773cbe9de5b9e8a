"""Opener: a thread of the parent that opens the bundles of the newest record beside the line-up.

It pulls and tries them while nothing waits for it, so that the thread that follows only swaps: a fleet that
goes back does not wait until a newcomer is pulled or opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from bundle.manifest import BundleError
from bundle.registry.errors import RegistryError, RegistryUnavailable
from bundle.registry.generation import Generation, Ref
from bundle.verify import read_manifest
from service.errors import ChangeRefused
from service.following.lineups import serving_refs
from service.following.looking import LookingThread
from service.following.position import Position
from service.following.pulled import PulledBundles
from service.following.retry import Retry
from service.lineup.fleet import Cancelled, Fleet
from service.lineup.lineup import LineupPlan

_SWEEP: Final = 60.0
"""Seconds between two looks for pulled bundles that nothing needs"""

logger = structlog.get_logger("demur.following")

Trial = Callable[[Path, Cancelled], object]
"""Tries whether a bundle can serve on this machine; raises ChangeRefused"""


class Opener(LookingThread):
    """What one service has open, and holds, besides what serves."""

    def __init__(
        self,
        fleet: Fleet,
        pulled: PulledBundles,
        position: Position,
        trial: Trial,
        changed: Callable[[], None],
    ) -> None:
        """`changed`: called when another bundle is open, or cannot be opened."""
        super().__init__("opener")
        self._fleet, self._pulled, self._position = fleet, pulled, position
        self._trial, self._changed = trial, changed
        self._retry = Retry()
        self._swept = -_SWEEP

    def _failed(self, error: Exception) -> None:
        logger.exception("opener_failed")
        self._position.has_trouble(preparation=f"{type(error).__name__}: {error}")

    def look(self) -> None:
        """Open what is not open, close what need not be, and remove what nothing needs."""
        newest = self._position.newest
        if self._retry.due(newest.number):
            self._retry.after(newest.number, done=self._open_all(newest))
        self._tidy(newest)

    def wanted(self, newest: Generation, plan: LineupPlan) -> list[Path]:
        """Folders of what stays open beside the line-up, of what is open now: the bundles of the record, and
        former champions for a while."""
        digests = {*self._position.kept.until, *(ref.digest for ref in _of(newest))}
        return [folder for folder in plan.folders() if folder.name in digests]

    def _open_all(self, newest: Generation) -> bool:
        """Whether every bundle of a record is open. One that cannot be opened keeps no other from it."""
        faults = [fault for ref in serving_refs(newest) if (fault := self._fault(ref)) is not None]
        unready = None if newest.next is None else self._fault(newest.next)
        if self._position.newest is not newest:
            self._woken.set()
            return True
        if faults:
            self._position.has_trouble(adoption=f"cannot serve generation {newest.number}: {faults[0]}")
        away = self._position.troubles.pull is not None
        self._position.has_trouble(preparation=None if away else unready)
        before = self._position.prepared
        ready = newest.next is not None and unready is None and not away
        self._position.has_prepared(newest.next if ready else None, newest.number)
        if self._position.prepared != before or faults or unready:
            self._changed()
        return not faults and unready is None and not away

    def _fault(self, ref: Ref) -> str | None:
        """Why a bundle is not open; None if it is, or if the registry does not answer."""
        try:
            self._open(ref)
        except RegistryUnavailable as error:
            self._position.has_trouble(pull=str(error))
            return None
        except (RegistryError, BundleError, ChangeRefused, OSError) as error:
            if self._fleet.stopping or self._unwanted(ref):
                return None
            return f"cannot open {ref.label} ({ref.digest[:8]}): {error}"
        self._position.has_trouble(pull=None)
        return None

    def _open(self, ref: Ref) -> None:
        """Open a bundle in every worker, unless it is. Raises ChangeRefused, a RegistryError, a BundleError
        and OSError."""
        folder = self._pulled.folder_of(ref)
        if folder in self._fleet.plan.folders():
            return
        self._pulled.fetch(ref)
        self._require_same_classes(folder)
        self._trial(folder, lambda: self._fleet.stopping or self._unwanted(ref))
        if not self._unwanted(ref):
            self._set_kept(lambda plan: (*plan.kept, folder), proven=[folder])
            logger.info("bundle_opened", bundle=ref.label, digest=ref.digest)
            self._changed()

    def _unwanted(self, ref: Ref) -> bool:
        """Whether the newest record does not name a bundle any more."""
        return self._stopping.is_set() or ref not in _of(self._position.newest)

    def _require_same_classes(self, folder: Path) -> None:
        classes, serving = (read_manifest(one).classes for one in (folder, self._fleet.plan.champion))
        if classes != serving:
            raise ChangeRefused(
                f"it knows the classes {', '.join(classes)}, and the champion {', '.join(serving)}; the "
                "bundles of one fleet know the same classes, so give it a fleet of its own"
            )

    def _set_kept(self, build: Callable[[LineupPlan], Iterable[Path]], proven: Iterable[Path] = ()) -> None:
        def change(plan: LineupPlan) -> LineupPlan:
            serving = {plan.champion, *(one.folder for one in plan.challengers)}
            kept = dict.fromkeys(folder for folder in build(plan) if folder not in serving)
            return replace(plan, kept=tuple(kept))

        self._fleet.follow(change, proven=list(proven))

    def _tidy(self, newest: Generation) -> None:
        self._position.kept.end_overdue()
        self._reopen()
        plan = self._fleet.plan
        if not set(plan.kept) <= set(self.wanted(newest, plan)):
            try:
                self._set_kept(lambda plan: self.wanted(newest, plan))
            except ChangeRefused as error:
                logger.warning("bundles_not_closed", why=str(error))
        self._position.keep_on_disk()
        if time.monotonic() - self._swept >= _SWEEP:
            self._swept = time.monotonic()
            self._pulled.sweep(self._needed(newest))

    def _reopen(self) -> None:
        """Open the former champions that were open before a restart."""
        for digest in self._position.kept.until:
            ref = Ref(digest, self._position.label(digest))
            folder = self._pulled.folder_of(ref)
            if folder in self._fleet.plan.folders():
                continue
            try:
                if not self._pulled.holds(ref):
                    raise ChangeRefused("the data folder does not hold it as it was")
                self._set_kept(lambda plan, one=folder: (*plan.kept, one))  # type: ignore[misc]
            except ChangeRefused as error:
                logger.warning("former_champion_not_opened", bundle=ref.label, why=str(error))
                self._position.kept.give_up(digest)

    def _needed(self, newest: Generation) -> set[str]:
        """Digests of the bundles that must stay in the data folder."""
        needed = {folder.name for folder in self._fleet.plan.folders()} | set(self._position.kept.until)
        for one in (newest, self._position.served):
            needed |= {ref.digest for ref in (*_of(one), *one.former[-1:])}
        return needed


def _of(generation: Generation) -> list[Ref]:
    """The bundles that a record has open, the champion first."""
    return [*serving_refs(generation), *([] if generation.next is None else [generation.next])]
