"""Arms of an experiment as event logs tell them: exposures, decisions, labels, audits, times and failures.

The logs of all workers are read in the order of their times, beside the processes that write them, and each
event once. A label that comes late, or corrects an earlier one, changes the sums of its request.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np

from calibration.experiments.arms import CONTROL as CONTROL_INDEX
from calibration.experiments.arms import ArmTable, ShadowPairs
from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.events import SHADOW_MARK, Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.experiments.decided import Decided, DecidedRequests, LabelTimes
from monitoring.experiments.definition import Definition
from monitoring.experiments.shadow_rows import ShadowRows
from monitoring.experiments.unit_rows import UnitRows

_CELLS: Final = (("right_0", "wrong_0"), ("wrong_1", "right_1"))
_OUTCOMES: Final = 4
_CLOCKS: Final = 86_400.0
"""Seconds by which a clock may have been set back since the start"""


class ArmSums:
    """Sums of one experiment over its events. Labels may come before their predictions, and several times."""

    def __init__(self, experiment: str, slow: float, times: LabelTimes | None = None) -> None:
        """`slow`: seconds beyond which a decision is slow; `times`: when a label counts."""
        self._experiment, self._slow = experiment, slow
        self._times = times or LabelTimes()
        self.rows = UnitRows()
        self.beside = ShadowRows()
        self.requests = DecidedRequests()
        self._arms: dict[str, int] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        self._outcomes = array("i")
        self.unknown = 0
        """Events of arms that the experiment does not have"""

    def know(self, arms: Sequence[str]) -> None:
        """Take the names of the arms, the control first; later ones may only be added at the end."""
        self._arms = {name: index for index, name in enumerate(arms)}

    def add(self, events: Iterable[Event]) -> int:
        """Take events; how many there were."""
        number = 0
        for event in events:
            number += 1
            if isinstance(event, FeedbackEvent):
                self._label(event)
            elif event.experiment == self._experiment:
                self._dealt(event)
        return number

    def table(self, definition: Definition) -> ArmTable | None:
        """The table of all strata that the definition knows; None without a request."""
        return self.rows.columns().table(definition.names, np.array(definition.designed()))

    def pairs(self, arm: str) -> ShadowPairs | None:
        """Pairs of a shadow with the control, a row per unit; None without one."""
        index = self._arms.get(arm)
        found = [place for (of, _), place in self._pairs.items() if of == index]
        if not found:
            return None
        counts = np.array(self._outcomes, dtype=np.int64).reshape(-1, _OUTCOMES)[found]
        return ShadowPairs(*(np.ascontiguousarray(column) for column in counts.T))

    def _dealt(self, event: PredictionEvent | FailureEvent) -> None:
        arm = self._arms.get(event.arm or "")
        if arm is None or event.stratum is None:
            self.unknown += 1
        elif isinstance(event, FailureEvent):
            self._failed(event, arm)
        elif SHADOW_MARK in event.request_id:
            self._shadow(event, arm)
        else:
            self._decided(event, arm)

    def _failed(self, event: FailureEvent, arm: int) -> None:
        row = self.rows.row(unit_of(event), event.stratum or 0, arm, event.at)
        if row is not None:
            self.rows.counts["failed"][row] += 1

    def _decided(self, event: PredictionEvent, arm: int) -> None:
        key = hash(event.request_id)
        if key in self.requests:
            return  # sent again
        row = self.rows.row(unit_of(event), event.stratum or 0, arm, event.at)
        if row is None:
            return
        counts = self.rows.counts
        counts["requests"][row] += 1
        counts["answered"][row] += event.answer is not None
        if event.seconds is not None:
            counts["timed"][row] += 1
            counts["slow"][row] += event.seconds > self._slow
        audited = event.audit and event.answer is not None and event.audit_probability
        weight = 1.0 / event.audit_probability if audited and event.audit_probability else 0.0
        decided = Decided(row, event.at, event.predicted, weight, None, 0.0, event.answer)
        for at, label in self.requests.add(key, decided):
            self._relabel(key, at, label)

    def _shadow(self, event: PredictionEvent, arm: int) -> None:
        key = hash(event.request_id.partition(SHADOW_MARK)[0])
        request = self.requests.get(key)
        if request is None or self.rows.counts["arm"][request.row] != CONTROL_INDEX:
            return  # a challenger has answered it, or it is forgotten
        if any(of == arm for of, _, _ in self.requests.shadows(key)):
            return
        unit = self.rows.keys[request.row]
        self.requests.add_shadow(key, arm, event.predicted, unit)
        self.beside.add(unit, arm, control=request.answer, shadow=event.answer)
        if request.label is not None:
            self._pair((arm, event.predicted, unit), request, request.label, 1)

    def _label(self, event: FeedbackEvent) -> None:
        if SHADOW_MARK in event.request_id:
            return  # a copy of the label of the request that it has shadowed
        key = hash(event.request_id)
        if key in self.requests:
            self._relabel(key, event.at, event.label)
        else:
            self.requests.park(key, event.at, event.label)

    def _relabel(self, key: int, at: float, label: int) -> None:
        """Let a label hold if it is in time, and the latest; of two of one time the higher one does."""
        request = self.requests.get(key)
        if request is None or not self._times.holds(request.at, at):
            return
        if request.label is not None:
            if (at, label) <= (request.label_at, request.label):
                return
            self._count(key, request, request.label, request.label_at, -1)
        self.requests.relabel(key, label, at)
        self._count(key, request, label, at, 1)

    def _count(self, key: int, request: Decided, label: int, at: float, sign: int) -> None:
        row, sums = request.row, self.rows.sums
        wrong = label != request.predicted
        true = min(label, 1)
        # Of more than two classes only right and wrong remain.
        sums[_CELLS[true][1 - true if wrong else true]][row] += sign
        sums["lag"][row] += sign * max(0.0, at - request.at)
        if request.weight:
            self.rows.counts["audits"][row] += sign
            sums["audited"][row] += sign * request.weight
            sums["audited_wrong"][row] += sign * request.weight * wrong
        for shadow in self.requests.shadows(key):
            self._pair(shadow, request, label, sign)

    def _pair(self, shadow: tuple[int, int, int], request: Decided, label: int, sign: int) -> None:
        arm, predicted, unit = shadow
        place = self._pairs.setdefault((arm, unit), len(self._pairs))
        if place * _OUTCOMES == len(self._outcomes):
            self._outcomes.extend([0] * _OUTCOMES)
        outcome = 2 * (request.predicted != label) + (predicted != label)
        self._outcomes[place * _OUTCOMES + outcome] += sign


class ArmReader:
    """The sums of one experiment, read from the logs of one or several services."""

    def __init__(self, logs: Sequence[Path], sums: ArmSums, *, since: float = 0.0) -> None:
        """`logs`: folders with a folder for each worker, `events/MODEL` in a data folder. `since`: Unix time
        of the start, before which nothing is of interest."""
        self._parents, self.sums, self._since = logs, sums, since
        self._readers: dict[Path, LogReader] = {}

    def read(self) -> int:
        """Take what has been written since the last call; the number of events. Raises OSError."""
        for parent in self._parents:
            for folder in log_folders(parent):
                if folder not in self._readers:
                    self._readers[folder] = LogReader(folder, since=self._since - _CLOCKS)
        fresh = (reader.events() for reader in self._readers.values())
        return self.sums.add(heapq.merge(*fresh, key=attrgetter("at")))


def unit_of(event: PredictionEvent | FailureEvent) -> str:
    """What was dealt: the unit, the batch, or the request itself."""
    return event.unit_id or event.dealt or event.request_id
