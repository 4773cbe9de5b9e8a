"""A data folder as a service leaves it: an experiment with a ramp, its events, and labels that come later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demur.commands.events import EVENTS
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import CONTROL, SHADOW_MARK, Event, FeedbackEvent, PredictionEvent
from monitoring.experiments.dealing import Dealing, point_of
from monitoring.experiments.definition import Arm, Definition, Note, Stratum
from monitoring.experiments.folder import ExperimentFolder

BEGAN = 1_780_300_800.0
"""2026-06-01, Unix seconds"""
DAY = 86_400.0
CHALLENGER = "signs:2"


@dataclass(frozen=True)
class LoggedExperiment:
    """What is written; units come once, spread over the days, and ask several times within an hour."""

    units: int = 1200
    requests: int = 3
    """Per unit"""
    days: float = 12.0
    accuracy: tuple[float, float] = (0.8, 0.93)
    """Of the control and of the challenger"""
    labelled: tuple[float, float] = (0.6, 0.6)
    """Share of the requests whose label comes"""
    shares: tuple[float, ...] = (0.1, 0.3, 0.5)
    """Of the challenger, of equally many days each"""
    lost: float = 0.0
    """Share of the challenger's units whose requests never reach the log"""
    shadowed: bool = False
    """Whether the challenger is a shadow of the control, instead of an arm"""
    named: bool = True
    """Whether there is an experiment at all"""
    seed: int = 1

    def write(self, data_dir: Path) -> None:
        """Write the definition and the event log of one worker."""
        if self.named:
            ExperimentFolder(data_dir).write(self._definition())
        log = EventLog.claim(data_dir / EVENTS / "signs", LogBounds())
        log.append(sorted(self._events(), key=lambda event: event.at))
        log.close()

    def _definition(self) -> Definition:
        strata = tuple(
            Stratum(
                Note(BEGAN + number * self.days * DAY / len(self.shares), "Ada", f"step {number + 1}"),
                {} if self.shadowed else {CHALLENGER: share},
                (),
                (CHALLENGER,) if self.shadowed else (),
            )
            for number, share in enumerate(self.shares)
        )
        control, challenger = Arm("signs:1", "/bundles/1"), Arm(CHALLENGER, "/bundles/2")
        return Definition("ramp", "salt", control, (challenger,), strata, strata[0].note, "/bundles/1")

    def _events(self) -> Iterator[Event]:
        rng = np.random.default_rng(self.seed)
        dealings = [Dealing.of({CHALLENGER: share}) for share in self.shares]
        for unit in range(self.units):
            at = BEGAN + (unit + rng.random()) * self.days * DAY / self.units
            stratum = min(len(self.shares) - 1, int((at - BEGAN) / (self.days * DAY) * len(self.shares)))
            arm = dealings[stratum].arm_at(point_of("ramp", "salt", f"camera-{unit}"))
            arm = CONTROL if arm is None or self.shadowed else arm
            if arm != CONTROL and rng.random() < self.lost:
                continue
            for number in range(self.requests):
                yield from self._request(rng, (f"camera-{unit}", number), arm, stratum, at + number * 60.0)

    def _request(
        self, rng: np.random.Generator, name: tuple[str, int], arm: str, stratum: int, at: float
    ) -> Iterator[Event]:
        which, label = int(arm != CONTROL), int(rng.integers(0, 2))
        request_id = f"{name[0]}-{name[1]}"
        right = rng.random(2) < self.accuracy
        for index, shadow in ((which, False), (1, True)) if self.shadowed else ((which, False),):
            predicted = label if right[index] else 1 - label
            answered = bool(rng.random() < 0.8)
            yield PredictionEvent(
                f"{request_id}{SHADOW_MARK}{CHALLENGER}" if shadow else request_id,
                CHALLENGER if shadow or which else "signs:1",
                predicted,
                predicted if answered else None,
                "A",
                0.9 if answered else 0.6,
                0.9 if predicted else 0.1,
                at,
                unit_id=name[0],
                audit=bool(answered and rng.random() < 0.5),
                reason=None if answered else "ambiguous",
                audit_probability=0.5 if answered else None,
                experiment="ramp" if self.named else None,
                arm=(CHALLENGER if shadow else arm) if self.named else None,
                stratum=stratum if self.named else None,
            )
        if rng.random() < self.labelled[which]:
            yield FeedbackEvent(request_id, label, at + 3600.0 * rng.exponential())
