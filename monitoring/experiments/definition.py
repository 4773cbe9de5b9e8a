"""Definition of an experiment: arms, shares per stratum, metrics, guardrails, and the why of each change."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Self, get_args

from monitoring.choices import ExperimentMetric, OnMismatch
from monitoring.errors import MonitoringError
from monitoring.events import CONTROL
from monitoring.formats import FormatTooNew, known, require_format

Metric = ExperimentMetric
Guard = Literal["coverage", "risk", "errors", "latency"]

METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_STRATA: Final = 200
"""Strata of one experiment; a withdrawal may open one more."""
REQUEST: Final = "request"
"""Cause of a withdrawal that somebody asked for"""
AUTOMATIC: Final = "demur"
"""Who has done what nobody asked for: a guardrail or a mismatch"""


class DefinitionUnreadable(MonitoringError):
    """A document is no definition of an experiment."""


@dataclass(frozen=True, slots=True)
class Note:
    """When something was changed, by whom and why."""

    at: float
    """Unix time, seconds"""
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arm:
    """A bundle in an experiment."""

    label: str
    """`name:version`"""
    folder: str
    """From which it is loaded"""


@dataclass(frozen=True, slots=True)
class Guardrails:
    """How much worse than the control a challenger may be, as differences of shares; None: not watched."""

    coverage: float | None = 0.1
    """Fall of the share of requests that are answered"""
    risk: float | None = 0.05
    """Rise of the share of answers that are wrong, over audits"""
    errors: float | None = 0.02
    """Rise of the share of requests that fail"""
    latency: float | None = 0.1
    """Rise of the share of requests that take longer than `slow`"""
    slow: float = 0.5
    """Seconds"""
    level: float = 0.05
    """Share of experiments in which a challenger that is within its limits is ever withdrawn"""

    def limit(self, guard: Guard) -> float | None:
        """The difference beyond which an arm is withdrawn."""
        limit: float | None = getattr(self, guard)
        return limit


@dataclass(frozen=True, slots=True)
class Stratum:
    """The time between two changes of the shares."""

    note: Note
    shares: Mapping[str, float]
    """Designed share of each challenger, by label; the control has the rest."""
    segments: tuple[tuple[int, int, str, bool], ...]
    """The dealing: begin, end, label, and whether the challenger has the points now"""
    shadows: tuple[str, ...] = ()
    """Labels of the challengers that compute and answer nothing"""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A challenger that has left, for good if nobody has asked for it."""

    arm: str
    note: Note
    cause: str
    """`guardrail coverage` and the like, `mismatch`, or REQUEST; a label of a metric"""


@dataclass(frozen=True, slots=True)
class Definition:
    """One experiment, from its start to its end."""

    name: str
    salt: str
    control: Arm
    arms: tuple[Arm, ...]
    """Every challenger that has been in it, shadows among them"""
    strata: tuple[Stratum, ...]
    started: Note
    configured: str
    """Folder of the bundle in the settings at the start: another one ends the experiment."""
    metrics: tuple[Metric, ...] = METRICS
    guardrails: Guardrails = field(default_factory=Guardrails)
    on_mismatch: OnMismatch = "hold"
    withdrawals: tuple[Withdrawal, ...] = ()
    mismatch: Note | None = None
    """Since when the arms do not have their shares of the units, which forbids every conclusion"""
    ended: Note | None = None

    @property
    def running(self) -> bool:
        return self.ended is None

    @property
    def stratum(self) -> int:
        """Number of the present stratum."""
        return len(self.strata) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """Arms as the events name them, the control first."""
        return (CONTROL, *(arm.label for arm in self.arms))

    def designed(self) -> list[list[float]]:
        """Share of each of `names` in each stratum."""
        rows = [[one.shares.get(arm.label, 0.0) for arm in self.arms] for one in self.strata]
        return [[max(0.0, 1.0 - math.fsum(row)), *row] for row in rows]

    def withdrawn(self, label: str) -> Withdrawal | None:
        """The automatic withdrawal of a challenger, after which it may not return."""
        found = (one for one in self.withdrawals if one.arm == label and one.cause != REQUEST)
        return next(found, None)

    def with_arm(self, arm: Arm) -> Self:
        """With a challenger among the arms."""
        return self if arm in self.arms else replace(self, arms=(*self.arms, arm))

    def with_stratum(self, stratum: Stratum) -> Self:
        return replace(self, strata=(*self.strata, stratum))

    def with_withdrawal(self, withdrawal: Withdrawal) -> Self:
        return replace(self, withdrawals=(*self.withdrawals, withdrawal))

    def to_values(self) -> dict[str, Any]:
        """Plain values; `from_values` is the inverse."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Raises DefinitionUnreadable."""
        try:
            require_format(values, "it")
            read = cls(
                name=values["name"],
                salt=str(values["salt"]),
                control=Arm(**known(Arm, values["control"])),
                arms=tuple(Arm(**known(Arm, one)) for one in values["arms"]),
                strata=tuple(_stratum(one) for one in values["strata"]),
                started=_note(values["started"]),
                configured=str(values["configured"]),
                metrics=tuple(name for name in METRICS if name in values["metrics"]),
                guardrails=Guardrails(**known(Guardrails, values["guardrails"])),
                on_mismatch=values["on_mismatch"],
                withdrawals=tuple(
                    Withdrawal(one["arm"], _note(one["note"]), one["cause"]) for one in values["withdrawals"]
                ),
                mismatch=None if values["mismatch"] is None else _note(values["mismatch"]),
                ended=None if values["ended"] is None else _note(values["ended"]),
            )
        except FormatTooNew as error:
            raise DefinitionUnreadable(str(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DefinitionUnreadable(f"it is no experiment: {type(error).__name__}: {error}") from None
        fault = _fault(read)
        if fault is not None:
            raise DefinitionUnreadable(f"it is no experiment: {fault}")
        return read


def _note(values: Mapping[str, Any]) -> Note:
    return Note(float(values["at"]), str(values["by"]), str(values["reason"]))


def _stratum(values: Mapping[str, Any]) -> Stratum:
    segments = tuple(
        (int(begin), int(end), str(arm), bool(serves)) for begin, end, arm, serves in values["segments"]
    )
    shares = {str(arm): float(share) for arm, share in values["shares"].items()}
    return Stratum(_note(values["note"]), shares, segments, tuple(map(str, values["shadows"])))


def _fault(read: Definition) -> str | None:
    """What of a definition cannot be."""
    labels = {arm.label for arm in read.arms}
    if not NAME.fullmatch(read.name):
        return f"its name is {read.name!r}"
    if read.on_mismatch not in get_args(OnMismatch):
        return f"on_mismatch is {read.on_mismatch!r}; it must be one of {', '.join(get_args(OnMismatch))}"
    if not 0.0 < read.guardrails.level < 1.0:
        return f"the level of its guardrails is {read.guardrails.level!r}; it must be between 0 and 1"
    if not read.strata:
        return "it has no stratum"
    for one in read.strata:
        known = {*one.shares, *one.shadows, *(arm for _, _, arm, _ in one.segments)} <= labels
        ends = [end for begin, end, _, _ in one.segments for end in (begin, end)]
        if not known or ends != sorted(ends) or any(end < 0 for end in ends):
            return "a stratum deals to arms that there are not, or twice"
        if not all(0.0 <= share <= 1.0 for share in one.shares.values()):
            return "a share is outside 0 to 1"
    return None
