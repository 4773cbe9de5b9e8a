"""Drift samples: signals of images that were answered, computed in the worker's spare time.

A random frame of a random sample of units is looked at again, every stage of it, as a shadow would be: after
the answer, while a slot is free, and shed first. The rows go to a folder that all workers of the service
share; once an hour one of them compares what has come together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import structlog

from bundle.runner import CascadeRunner
from bundle.signals import observe
from calibration.drift.comparison import LEAST_IMAGES
from calibration.drift.signals import SignalRow
from monitoring.drift.conclusion import Conclusion
from monitoring.drift.sample_folder import SampledRow, SampleFolder, drift_folder, forget_unused
from monitoring.drift.unit_sampler import Draw, UnitSampler
from monitoring.drift.watch import DriftPolicy, DriftWatch
from monitoring.metrics.instruments import Instruments
from service.compute.shadows import AnsweredImage
from service.compute.spare_time import SpareTime, SpareWork
from service.http.bodies import ImageReader
from service.lineup.deployment import Deployment
from service.settings import Settings

DriftState = Literal["off", "failing", "collecting", "quiet", "moved"]

_EVERY: Final = 10.0
"""Seconds between two visits of the folder"""
_PATIENCE: Final = 60
"""Times the limit of a computation: beside busy threads one of the lowest priority gets a sixtieth of a core,
and a sample must not have its worker replaced for that"""
_UNUSED: Final = 90 * 86_400.0
"""Seconds after which the samples of a bundle that answers no more are forgotten, at a start"""

logger = structlog.get_logger("demur.drift")


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """What is known of the drift of one bundle's images."""

    state: DriftState
    sentence: str
    waiting: int = 0
    """Images in the window that fills"""
    conclusion: Conclusion | None = None
    audited: tuple[float, float] | None = None
    """95 % interval of the risk over the audits now"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for /health."""
        found = self.conclusion
        return {
            "state": self.state,
            "sentence": self.sentence,
            "expected": None if found is None else found.performance_sentence(self.audited),
            "moved": [] if found is None else [shift.name for shift in found.moved],
            "images": None if found is None else found.images,
            "at": None if found is None else found.at,
            "waiting": self.waiting,
        }


@dataclass(slots=True)
class _Watched:
    """One bundle, on the event loop; `visit` runs on a thread."""

    deployment: Deployment
    watch: DriftWatch
    sampler: UnitSampler
    rows: list[SampledRow] = field(default_factory=list)
    """Not in the folder yet"""
    latest: Conclusion | None = None
    waiting: int = 0
    looking: bool = False
    """Whether a comparison is queued or running here"""
    fault: str | None = None
    """Why the folder cannot be used"""

    @property
    def label(self) -> str:
        return self.deployment.label

    def visit(self, rows: Sequence[SampledRow]) -> int:
        """Write rows and read what there is; the number of rows that were kept. Raises OSError."""
        kept = self.watch.folder.append(rows) if rows else 0
        self.waiting = self.watch.folder.waiting
        self.latest = self.watch.latest()
        return kept


class DriftSamples:
    """The samples of one worker; used from one event loop."""

    def __init__(
        self,
        settings: Settings,
        spare: SpareTime,
        instruments: Instruments,
        answering: Callable[[], Sequence[Deployment]],
        audited_risk: Callable[[Deployment], tuple[float, float] | None],
    ) -> None:
        """`answering`: the bundles that answer now. `audited_risk`: interval of a bundle's risk over its
        audits."""
        self._settings = settings
        self._answering = answering
        self._audited_risk = audited_risk
        self._spare = spare
        self._instruments = instruments
        self._policy = DriftPolicy(settings.drift_false_alarms, settings.drift_season)
        self._watched: dict[str, _Watched] = {}
        self._follow()
        self._task = asyncio.create_task(self._run())

    def offer(self, deployment: Deployment, image: AnsweredImage) -> None:
        """Look at an image that a bundle has answered, if it is drawn; never waits."""
        watched = self._watched.get(deployment.label)
        if watched is None:
            return
        at = time.time()
        drawn = watched.sampler.draw(image.unit_id, at)
        if drawn is None:
            return
        self._spare.offer(
            SpareWork(
                partial(_observe, deployment.runner, image.read),
                partial(self._observed, watched, drawn, at, image.unit_id is not None),
                partial(self._count, "shed"),
                image.size,
                deployment.label,
                _PATIENCE,
            )
        )

    def status(self, deployment: Deployment) -> DriftStatus:
        """What is known of one bundle."""
        watched = self._watched.get(deployment.label)
        if not self._settings.drift_images:
            return DriftStatus("off", "DEMUR_DRIFT_IMAGES is 0: drift is off")
        if deployment.reference is None:
            return DriftStatus("off", "no reference: drift is off")
        if watched is None:
            return DriftStatus("collecting", "nothing is concluded about drift yet: it begins")
        if watched.fault is not None:
            return DriftStatus("failing", f"the samples of drift cannot be kept: {watched.fault}")
        found = watched.latest
        if found is None:
            counted = f"{watched.waiting} of {LEAST_IMAGES} images are there"
            said = f"nothing is concluded about drift yet: {counted}"
            return DriftStatus("collecting", said, watched.waiting)
        state: DriftState = "moved" if found.alarm else "quiet" if found.withheld is None else "collecting"
        audited = self._audited_risk(deployment)
        return DriftStatus(state, found.sentence(), watched.waiting, found, audited)

    async def close(self) -> None:
        """Write the rows that wait. The spare time is closed before."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._visit_all()

    def _follow(self) -> None:
        """Watch the bundles that answer now, and no others."""
        serving = {} if not self._settings.drift_images else {one.label: one for one in self._answering()}
        for gone in self._watched.keys() - serving.keys():
            self._instruments.end_drift(gone)
            del self._watched[gone]
        for label, deployment in serving.items():
            if deployment.reference is None or label in self._watched:
                continue
            folder = SampleFolder(drift_folder(self._settings.data_dir, label))
            self._watched[label] = _Watched(
                deployment,
                DriftWatch(folder, deployment.reference, self._policy),
                UnitSampler(self._settings.drift_images / self._settings.workers, self._settings.audit_gap),
            )

    def _observed(
        self,
        watched: _Watched,
        drawn: Draw,
        at: float,
        with_unit: bool,
        row: SignalRow | None,
        error: BaseException | None,
    ) -> None:
        if row is None:
            logger.error("drift_sample_failed", bundle=watched.label, exc_info=error)
            self._count("failed")
            return
        watched.rows.append(SampledRow(drawn.unit, drawn.number, at, row, with_unit))

    async def _run(self) -> None:
        with suppress(OSError):  # A folder that cannot be used is noticed where it is written to.
            await asyncio.to_thread(forget_unused, self._settings.data_dir, time.time() - _UNUSED)
        while True:
            await self._visit_all()
            await asyncio.sleep(_EVERY)
            self._follow()

    async def _visit_all(self) -> None:
        for watched in tuple(self._watched.values()):
            rows, watched.rows = watched.rows, []
            try:
                kept = await asyncio.to_thread(watched.visit, rows)
            except OSError as error:
                self._failed(watched, error, len(rows))
                continue
            watched.fault = None
            self._count("kept", kept)
            self._count("failed", len(rows) - kept)
            self._show(watched)
            if not watched.looking and watched.waiting >= LEAST_IMAGES and watched.watch.due(time.time()):
                watched.looking = True
                self._spare.offer(
                    SpareWork(
                        partial(watched.watch.look, time.time(), self._audited_risk(watched.deployment)),
                        partial(self._looked, watched),
                        partial(self._looked, watched, None, None),
                    )
                )

    def _failed(self, watched: _Watched, error: OSError, rows: int) -> None:
        self._count("failed", rows)
        if watched.fault is None:
            logger.error("drift_folder", bundle=watched.label, error=str(error))
        watched.fault = error.strerror or str(error)

    def _looked(self, watched: _Watched, found: Conclusion | None, error: BaseException | None) -> None:
        watched.looking = False
        if error is not None:
            logger.error("drift_comparison_failed", bundle=watched.label, exc_info=error)
        if found is None:
            return
        watched.latest = found
        self._show(watched)
        said = {"bundle": watched.label, "note": found.sentence(), "expected": found.performance_sentence()}
        if found.alarm:
            logger.warning("drift", **said)
        else:
            logger.info("drift", **said)

    def _show(self, watched: _Watched) -> None:
        found = watched.latest
        if found is not None:
            self._instruments.show_drift(watched.label, found)

    def _count(self, outcome: str, rows: int = 1) -> None:
        self._instruments.drift_samples.labels(outcome).inc(rows)


def _observe(runner: CascadeRunner, read: ImageReader) -> SignalRow:
    return observe(runner, read())
