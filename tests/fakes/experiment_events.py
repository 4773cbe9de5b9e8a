"""Events of an experiment of two arms, `one:1` against `two:1`, as workers would write them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from monitoring.events import CONTROL, Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.experiments.definition import Arm, Definition, Guardrails, Note, Stratum

AT = 1_800_000_000.0
CHALLENGER = "two:1"
NOTE = Note(AT, "Ada", "a try")


def definition(share: float = 0.5, guardrails: Guardrails | None = None, **fields: Any) -> Definition:
    return Definition(
        "ramp",
        "salt",
        Arm("one:1", "/one"),
        (Arm(CHALLENGER, "/two"),),
        (Stratum(NOTE, {CHALLENGER: share}, ((0, round(share * 2**53), CHALLENGER, True),)),),
        NOTE,
        "/one",
        guardrails=guardrails or Guardrails(),
        **fields,
    )


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an arm behaves: shares of its requests."""

    answers: float = 0.9
    wrong: float = 0.05
    fails: float = 0.0
    slow: float = 0.02
    dropped: float = 0.0
    """Units that never reach the log"""


def events(
    units: int,
    control: Behaviour | None = None,
    challenger: Behaviour | None = None,
    *,
    seed: int = 1,
    share: float = 0.5,
    per_unit: int = 3,
    first: int = 0,
) -> Iterator[Event]:
    """Requests of so many units, in order of time, each with an audit and its label."""
    draw = random.Random(seed)
    for unit in range(first, first + units):
        arm = CHALLENGER if draw.random() < share else CONTROL
        how = (challenger if arm == CHALLENGER else control) or Behaviour()
        if draw.random() < how.dropped:
            continue
        for request in range(per_unit):
            name, at = f"r{unit}-{request}", AT + unit + request / 10
            dealt: dict[str, Any] = {"experiment": "ramp", "arm": arm, "stratum": 0, "unit_id": f"u{unit}"}
            if draw.random() < how.fails:
                yield FailureEvent(name, "one:1", "deadline-passed", at, **dealt)
                continue
            answered, wrong = draw.random() < how.answers, draw.random() < how.wrong
            yield PredictionEvent(
                *(name, "one:1", 1, 1 if answered else None, "A", 1.0, 0.9, at),
                audit=answered,
                audit_probability=1.0 if answered else None,
                seconds=1.0 if draw.random() < how.slow else 0.01,
                **dealt,
            )
            yield FeedbackEvent(name, 0 if wrong else 1, at + 0.05)
