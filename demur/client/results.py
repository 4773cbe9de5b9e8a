"""Results and errors of the client. Fields that a newer service adds are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from calibration.certificate import Kind
    from calibration.decision import DecisionKind, StageName

from demur.errors import InterfaceError


class ClientError(InterfaceError):
    """A call failed; the subclass says why."""


class Unreachable(ClientError):
    """No connection, a broken one, or an answer that no demur service sends."""


class DeadlinePassed(ClientError):
    """No answer within the deadline."""


class Refused(ClientError):
    """The service refused the request; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.kind}: {problem.detail}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason for the refusal of a request, or of one image of a batch."""

    kind: str
    status: int
    detail: str
    field: str | None = None
    """Part of the request that is at fault"""
    value: Any = None
    """Its value"""
    limit: Any = None
    """What is accepted"""
    request_id: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            kind=str(body["type"]).rsplit(":", 1)[-1],
            status=body["status"],
            detail=body["detail"],
            field=body.get("field"),
            value=body.get("value"),
            limit=body.get("limit"),
            request_id=body.get("request_id"),
        )


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Guarantee on the answers."""

    kind: Kind
    """`pac`: at most `alpha` of the answers are wrong, with confidence 1 - `delta`; `expectation`: at most
    `alpha` on average over draws of the calibration set"""
    method: str
    alpha: float
    delta: float | None
    population: str
    doubt: str | None = None
    """Why the calibration images may not be independent; None if nothing is in doubt"""
    condition: str | None = None
    """What the promise needs of the images beside that, such as an interval of the prevalence; None if
    nothing"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Decision on one image."""

    request_id: str
    """Id for `Client.feedback`"""
    decision: DecisionKind
    label: int | None
    """None if the service abstains"""
    label_name: str | None
    prediction_set: tuple[int, ...]
    probability: float
    """p(label 1); also given if the service abstains"""
    confidence: float
    stage: StageName
    reason: str | None
    """Why the service abstains: ambiguous, atypical, suspended or, if the bundle may not answer at all,
    no-promise"""
    bundle: str
    """`name:version`"""
    guarantee: Guarantee | None
    guarantee_reason: str | None
    """Why there is no guarantee; None if there is one"""
    audit: bool
    """True if a person should label this image"""
    timing_ms: Mapping[str, float]
    probabilities: tuple[float, ...] | None
    """p(k) of every class; None for two classes"""

    @property
    def answered(self) -> bool:
        return self.decision == "answer"

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        promised = body["guarantee"]
        probabilities = body.get("probabilities")
        return cls(
            request_id=body["request_id"],
            decision=body["decision"],
            label=body["label"],
            label_name=body["label_name"],
            prediction_set=tuple(body["prediction_set"]),
            probability=body["probability"],
            confidence=body["confidence"],
            stage=body["stage"],
            reason=body["reason"],
            bundle=f"{body['bundle']['name']}:{body['bundle']['version']}",
            guarantee=None if promised is None else _guarantee(promised),
            guarantee_reason=body["guarantee_reason"],
            audit=body["audit"],
            timing_ms=body["timing_ms"],
            probabilities=None if probabilities is None else tuple(probabilities),
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with the ends of its 95 % interval."""

    value: float | None
    """None if its denominator is zero; a Matthews correlation is 0 then"""
    low: float
    high: float
    reason: str | None
    """Why the denominator is zero; None if it is not"""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of the labelled predictions in a window. Precision, recall and specificity are of class 1; of
    more than two classes each is the mean over the classes that have one."""

    n: int
    """Number of labelled predictions in the window so far"""
    accuracy: Figure
    mcc: Figure
    precision: Figure
    recall: Figure
    specificity: Figure


@dataclass(frozen=True, slots=True)
class Window:
    """The last `size` predictions."""

    size: int
    all: ClassFigures
    """All labelled predictions; each counts as answered at probability > 0.5"""
    answered: ClassFigures
    """The answered ones among them"""
    coverage: Figure
    """Share answered, of the labelled and the others"""
    stage_b: Figure
    """Share that went to stage B, of the labelled and the others"""


@dataclass(frozen=True, slots=True)
class RewardWindow:
    """Metrics of the last `size` labelled predictions, for the reward."""

    size: int
    n: int
    """Number of labelled predictions in the window so far"""
    accuracy: float | None
    accuracy_low: float
    accuracy_high: float
    """Wilson 95 % interval"""
    mcc: float
    mcc_reason: str | None
    """Why the Matthews correlation is undefined, and 0; None if it is defined"""


@dataclass(frozen=True, slots=True)
class Series:
    """ACC over the last 10 predictions and MCC over the last 100."""

    acc: RewardWindow
    mcc: RewardWindow
    reward: float | None = None
    """Of the roadwork task, from both; None for bundles of other tasks"""


@dataclass(frozen=True, slots=True)
class Rolling:
    """Rolling metrics of one bundle, or of all bundles together."""

    bundle: str
    """`name:version`, or `total`"""
    windows: Mapping[int, Window]
    """By size, as DEMUR_WINDOWS names them"""
    all: Series
    """All labelled predictions; each counts as answered at probability > 0.5"""
    answered: Series
    """The answered predictions alone"""
    predictions: int
    labelled: int
    label_coverage: float | None
    events_waiting: int
    bundles: tuple[str, ...]
    """Every bundle that has served, the latest at the end"""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            bundle=body["bundle"],
            windows={window["size"]: _window(window) for window in body["windows"]},
            all=_series(body["all"]),
            answered=_series(body["answered"]),
            predictions=body["predictions"],
            labelled=body["labelled"],
            label_coverage=body["label_coverage"],
            events_waiting=body["events_waiting"],
            bundles=tuple(body["bundles"]),
        )


@dataclass(frozen=True, slots=True)
class WaitingAudit:
    """Answer that waits for the label of its audit."""

    request_id: str
    """Id for `Client.feedback` and `Client.feedback_batch`"""
    unit_id: str | None
    bundle: str
    """`name:version`"""
    time: datetime
    """Time of the answer, UTC"""
    age: float
    """Seconds since then"""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some of the audits that wait."""

    audits: tuple[WaitingAudit, ...]
    next: str | None
    """Cursor of the page behind this one; None: there is none"""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(tuple(map(_audit, body["audits"])), body["next"])


def _audit(body: Mapping[str, Any]) -> WaitingAudit:
    return WaitingAudit(
        body["request_id"],
        body["unit_id"],
        body["bundle"],
        datetime.fromisoformat(body["time"]),
        body["age_seconds"],
    )


def _guarantee(body: Mapping[str, Any]) -> Guarantee:
    return Guarantee(
        body["kind"],
        body["method"],
        body["alpha"],
        body["delta"],
        body["population"],
        body.get("doubt"),
        body.get("condition"),
    )


def _series(body: Mapping[str, Any]) -> Series:
    return Series(_reward_window(body["acc"]), _reward_window(body["mcc"]), body.get("reward"))


def _reward_window(body: Mapping[str, Any]) -> RewardWindow:
    return RewardWindow(
        body["size"],
        body["n"],
        body["accuracy"],
        body["accuracy_low"],
        body["accuracy_high"],
        body["mcc"],
        body["mcc_reason"],
    )


def _window(body: Mapping[str, Any]) -> Window:
    decided = body["decided"]
    return Window(
        body["size"],
        _class_figures(body["all"]),
        _class_figures(body["answered"]),
        _figure(decided["coverage"]),
        _figure(decided["stage_b"]),
    )


def _class_figures(body: Mapping[str, Any]) -> ClassFigures:
    names = ("accuracy", "mcc", "precision", "recall", "specificity")
    return ClassFigures(body["n"], *(_figure(body[name]) for name in names))


def _figure(body: Mapping[str, Any]) -> Figure:
    return Figure(body["value"], body["low"], body["high"], body["reason"])
