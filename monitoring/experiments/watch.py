"""Watch: a thread of the parent that follows the running experiment and ends what must not go on.

It reads the event logs beside the workers, so that nothing of it delays an answer, and rests for twenty times
as long as it has worked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from calibration.experiments.arms import ArmTable
from calibration.experiments.comparison import Comparison, compare
from calibration.experiments.sample_ratio import sample_ratio
from monitoring.experiments.arms import ArmReader, ArmSums
from monitoring.experiments.counted import Counted
from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import Definition
from monitoring.experiments.guardrails import GuardReading, guard_readings
from monitoring.experiments.view import ExperimentView, units_by_arm, units_by_stratum

logger = structlog.get_logger("demur.experiments")

INTERVAL: Final = 1.0
"""Seconds between two looks, at least"""
_REST: Final = 20.0
"""Seconds of rest for a second of work"""
_FIGURES_EVERY: Final = 30.0
"""Seconds between two comparisons of all metrics"""


class ExperimentObserver(Protocol):
    """What the watch reports to; called on its thread."""

    def show(self, view: ExperimentView) -> None:
        """A look at the running experiment."""

    def mismatched(self, view: ExperimentView) -> None:
        """The arms do not have their shares of the units, and nobody has noted it yet."""

    def beyond(self, reading: GuardReading) -> None:
        """A challenger that answers is beyond a limit; called at each look until it has left."""


class SharedCounts(Protocol):
    """What the services of a fleet have counted together; used on the watch's thread."""

    def counted(self, definition: Definition, own: Counted) -> Counted:
        """Let the others have what this service has counted, and add what they have."""

    def keep_view(self, view: ExperimentView) -> None:
        """Let others see what was concluded from it."""


@dataclass(slots=True)
class _Followed:
    """The experiment that is followed, and what has been read of it."""

    name: str
    sums: ArmSums
    reader: ArmReader
    figures: tuple[Comparison, ...] = ()
    compared_at: float = float("-inf")


class ExperimentWatch:
    """The watch of one service; `start` before use, `close` at the end."""

    def __init__(
        self,
        logs: Sequence[Path],
        running: Callable[[], Definition | None],
        observer: ExperimentObserver,
        times: LabelTimes,
        *,
        shared: SharedCounts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`logs`: folders of the event logs of a model; `running`: the experiment of now; `shared`: what the
        other services of a fleet have counted; `clock`: Unix time, seconds."""
        self._logs, self._running, self._observer = logs, running, observer
        self._times, self._shared, self._clock = times, shared, clock
        self._followed: _Followed | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="experiments", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """End the thread, or leave it to the end of the process: it leaves no file half written."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def look(self) -> ExperimentView | None:
        """One look; None if no experiment runs."""
        definition = self._running()
        if definition is None:
            self._followed = None
            return None
        followed = self._follow(definition)
        followed.sums.know(definition.names)
        followed.reader.read()
        counted = Counted.of(followed.sums)
        if self._shared is not None:
            counted = self._shared.counted(definition, counted)
        view = self._view(definition, followed, counted)
        self._keep(view)
        self._observer.show(view)
        if view.blocked and definition.mismatch is None:
            self._observer.mismatched(view)
        for reading in view.guards:
            if reading.state == "beyond":
                self._observer.beyond(reading)
        return view

    def _follow(self, definition: Definition) -> _Followed:
        followed = self._followed
        if followed is None or followed.name != definition.name:
            sums = ArmSums(definition.name, definition.guardrails.slow, self._times)
            followed = self._followed = _Followed(
                definition.name, sums, ArmReader(self._logs, sums, since=definition.started.at)
            )
        return followed

    def _view(self, definition: Definition, followed: _Followed, counted: Counted) -> ExperimentView:
        table = counted.table(definition)
        if table is not None and time.monotonic() - followed.compared_at >= _FIGURES_EVERY:
            followed.figures = tuple(_figures(definition, table))
            followed.compared_at = time.monotonic()
        units, requests = units_by_arm(table, definition.names)
        return ExperimentView(
            definition=definition,
            at=self._clock(),
            units=units,
            requests=requests,
            ratio=None if table is None else sample_ratio(table),
            guards=tuple(guard_readings(definition, counted.rows, table)),
            figures=followed.figures,
            faults=counted.faults,
            strata_units=tuple(units_by_stratum(table, definition.names, len(definition.strata))),
            shadows=counted.agreements(definition),
            services=counted.services,
        )

    def _keep(self, view: ExperimentView) -> None:
        if self._shared is not None:
            self._shared.keep_view(view)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self.look()
            except Exception:
                # The next look may succeed; predictions go on either way.
                logger.exception("experiment_look_failed")
            if self._stopping.wait(max(INTERVAL, _REST * (time.monotonic() - began))):
                return


def _figures(definition: Definition, table: ArmTable) -> Iterator[Comparison]:
    level = 0.05 / max(1, len(definition.arms) * len(definition.metrics))
    for arm in table.arms[1:]:
        for metric in definition.metrics:
            yield compare(table, metric, "anytime", arm=arm, level=level)
