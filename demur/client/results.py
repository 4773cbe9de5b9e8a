"""What `demur.client.client` returns and raises; fields that a newer service adds are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from calibration.decision import StageName

from demur.errors import InterfaceError


class ClientError(InterfaceError):
    """Nothing was decided; the subclass says why."""


class Unreachable(ClientError):
    """No answer came: no connection, a broken one, or something that is no answer of a demur service."""


class DeadlinePassed(ClientError):
    """No answer came in time."""


class Refused(ClientError):
    """The service refused the request; `problem` says what was wrong with it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.kind}: {problem.detail}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request, or one image of a batch, was refused."""

    kind: str
    status: int
    detail: str
    field: str | None = None
    """What was wrong in the request, with what was sent and what is accepted."""
    value: Any = None
    limit: Any = None
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
    """What is promised of the answers."""

    kind: Literal["pac", "expectation"]
    """pac: at most `alpha` of the answers are wrong, with confidence 1 - `delta`; expectation: only on
    average over calibration draws."""
    method: str
    alpha: float
    delta: float | None
    population: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One decided image."""

    request_id: str
    """Name it in `feedback`."""
    decision: Literal["answer", "abstain"]
    label: int | None
    """None where it abstains."""
    label_name: str | None
    prediction_set: tuple[int, ...]
    probability: float
    """p(label 1), also where it abstains."""
    confidence: float
    stage: StageName
    reason: str | None
    """Why it abstains: ambiguous or atypical."""
    bundle: str
    """`name:version`"""
    guarantee: Guarantee | None
    guarantee_reason: str | None
    """Why nothing is promised, where nothing is."""
    audit: bool
    """A person should label this one."""
    timing_ms: Mapping[str, float]
    probabilities: tuple[float, ...] | None
    """p(k); only for more than two classes."""

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
class Window:
    """The last `size` labelled predictions."""

    size: int
    n: int
    """Of those, how many there are yet."""
    accuracy: float | None
    accuracy_low: float
    accuracy_high: float
    """Wilson 95 % interval"""
    mcc: float
    mcc_reason: str | None
    """Why the Matthews correlation is undefined, and 0, where it is."""


@dataclass(frozen=True, slots=True)
class Series:
    """ACC over the last 10, MCC over the last 100, and the NATIX reward of both."""

    acc: Window
    mcc: Window
    reward: float


@dataclass(frozen=True, slots=True)
class Rolling:
    """What the labels say so far of the bundle that answers now."""

    bundle: str
    all: Series
    """Every labelled prediction, forced to an answer."""
    answered: Series
    """The answered ones alone."""
    predictions: int
    labelled: int
    label_coverage: float | None
    events_waiting: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            bundle=body["bundle"],
            all=_series(body["all"]),
            answered=_series(body["answered"]),
            predictions=body["predictions"],
            labelled=body["labelled"],
            label_coverage=body["label_coverage"],
            events_waiting=body["events_waiting"],
        )


def _guarantee(body: Mapping[str, Any]) -> Guarantee:
    return Guarantee(body["kind"], body["method"], body["alpha"], body["delta"], body["population"])


def _series(body: Mapping[str, Any]) -> Series:
    return Series(_window(body["acc"]), _window(body["mcc"]), body["reward"])


def _window(body: Mapping[str, Any]) -> Window:
    return Window(
        body["size"],
        body["n"],
        body["accuracy"],
        body["accuracy_low"],
        body["accuracy_high"],
        body["mcc"],
        body["mcc_reason"],
    )
