"""Events: a prediction was made, a label arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calibration.decision import Decision

FORCED_ABOVE = 0.5
"""A forced binary answer is label 1 above this probability and label 0 at or below it."""

SHADOW_MARK = "~"
"""A character in the id of every shadow's prediction, and in no other id."""

CONTROL = "control"
"""The arm of the champion in an experiment; no label of a bundle is without a colon."""


@dataclass(frozen=True, slots=True)
class PredictionEvent:
    """The decision on one image."""

    request_id: str
    bundle: str
    """The bundle that decided, `name:version`; each bundle has windows of its own."""
    predicted: int
    """The label of the image if every image is forced to an answer."""
    answer: int | None
    """The label answered; None for an abstention."""
    stage: str
    confidence: float
    probability: float
    """p(label 1)"""
    at: float
    """Unix time, seconds."""
    unit_id: str | None = None
    audit: bool = False
    """Whether the answer asked for its label; see `monitoring.promise.sampling`."""
    reason: str | None = None
    """Why the image was not answered; None for an answer."""
    draw: float | None = None
    """Random number in [0, 1): of a unit's frames in a window of time, the one with the smallest draw counts.
    None: the monitors do not count this frame."""
    audit_probability: float | None = None
    """Probability with which this frame was to be audited, drawn or not; None for an abstention."""
    part: str = ""
    """The part in which the answer lies, of a promise in each part by itself"""
    seconds: float | None = None
    """Time from the request to the decision; None for a shadow, which computes in spare time."""
    experiment: str | None = None
    """The experiment that dealt the request; None: none was running, or the request names its bundle."""
    arm: str | None = None
    """`control`, or the label of the challenger that decided, or of the shadow."""
    stratum: int | None = None
    """Number of the dealing, from 0; each change of a share begins another one."""
    dealt: str | None = None
    """What was dealt, if neither `unit_id` nor `request_id` says it: the request of a batch."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What an experiment has dealt to a request: the arm that answers it."""

    experiment: str
    arm: str
    """`CONTROL`, or the label of a challenger"""
    stratum: int


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """The true label of an earlier prediction, or of a later one that the label has overtaken."""

    request_id: str
    label: int
    at: float
    """Unix time, seconds; of two labels for one prediction, the later one holds."""
    source: str | None = None
    """Name under which the label was sent; None if no name was asked for."""


@dataclass(frozen=True, slots=True)
class FailureEvent:
    """A request of an experiment that got no decision, for no fault of its image; the store has no use for
    it."""

    request_id: str
    bundle: str
    """The bundle that should have decided, `name:version`"""
    problem: str
    """Kind of the problem document"""
    at: float
    """Unix time, seconds"""
    unit_id: str | None = None
    experiment: str | None = None
    arm: str | None = None
    stratum: int | None = None
    dealt: str | None = None


Event = PredictionEvent | FeedbackEvent | FailureEvent

PredictionOutcome = Literal["recorded", "joined", "repeated"]
"""recorded: new. joined: new, and its label was waiting. repeated: the id was recorded before."""

FeedbackOutcome = Literal["ok", "duplicate", "corrected", "stale", "expired", "unknown"]
"""ok: first label. duplicate: the same label again. corrected: a different, later one, which replaces
the first. stale: a different, older one, ignored. expired: too long after its prediction, or before it,
ignored. unknown: no such prediction yet, parked."""

FailureOutcome = Literal["noted"]
"""noted: it is in the log alone."""


def forced_label(probabilities: Sequence[float]) -> int:
    """The label of an image that is forced to an answer; `probabilities` is p(k), k = 0..K-1."""
    if len(probabilities) == 2:
        return int(probabilities[1] > FORCED_ABOVE)
    return max(range(len(probabilities)), key=lambda k: probabilities[k])


def prediction_event(
    decision: Decision,
    *,
    request_id: str,
    bundle: str,
    at: float,
    unit_id: str | None = None,
    audit: bool = False,
    draw: float | None = None,
    audit_probability: float | None = None,
    part: str = "",
    seconds: float | None = None,
    exposure: Exposure | None = None,
    dealt: str | None = None,
) -> PredictionEvent:
    """The event of one decision; `at` is Unix time, seconds. The other fields are those of the event."""
    return PredictionEvent(
        request_id=request_id,
        bundle=bundle,
        predicted=forced_label(decision.probabilities),
        answer=decision.label,
        stage=decision.stage,
        confidence=decision.confidence,
        probability=decision.probabilities[1],
        at=at,
        unit_id=unit_id,
        audit=audit,
        reason=decision.reason,
        draw=draw,
        audit_probability=audit_probability,
        part=part,
        seconds=seconds,
        experiment=None if exposure is None else exposure.experiment,
        arm=None if exposure is None else exposure.arm,
        stratum=None if exposure is None else exposure.stratum,
        dealt=dealt,
    )
