"""Conclusion from one window: what moved, by how much, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from calibration.drift.comparison import Comparison, SignalShift
from calibration.drift.performance import ASSUMPTION, Estimate, ExpectedPerformance, contradicts
from monitoring.drift.wording import change_in_words

Against = Literal["reference", "season"]

_SHOWN: Final = 3
"""Signals that a sentence names"""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What one window says; plain values, so that any worker can read what another has concluded."""

    at: float
    """Unix time of the comparison"""
    since: float
    until: float
    """Times of the first and the last image"""
    images: int
    with_units: bool
    against: Against
    """The bundle's reference, or the same hours of earlier weeks"""
    n_reference: int
    false_alarms: float
    """False alarms per week that the operator accepts"""
    level: float
    """Probability of a false alarm of this comparison"""
    shifts: tuple[SignalShift, ...] = ()
    joint_p_value: float | None = None
    joint_moved: bool = False
    expected: ExpectedPerformance = field(default_factory=lambda: ExpectedPerformance(None, None))
    """Accuracy and risk by the probabilities of this window"""
    expected_before: ExpectedPerformance = field(default_factory=lambda: ExpectedPerformance(None, None))
    """The same by those of the reference"""
    risk_so_far: Estimate | None = None
    """Risk by the probabilities of all windows so far; None if nothing was answered"""
    audited_risk: tuple[float, float] | None = None
    """95 % interval of the risk over all audits when the comparison was made; None without audits"""
    alarm_since: float | None = None
    """Time of the first of the alarms without a quiet window in between; None: no alarm"""
    withheld: str | None = None
    """Why nothing is concluded, in one clause"""

    @property
    def alarm(self) -> bool:
        return self.alarm_since is not None

    @property
    def moved(self) -> tuple[SignalShift, ...]:
        """The signals that moved, the one that moved most first."""
        return tuple(sorted((one for one in self.shifts if one.moved), key=lambda one: -one.psi))

    def with_comparison(self, comparison: Comparison, before: Conclusion | None) -> Conclusion:
        """The conclusion with the result of its tests; `before`: the previous one."""
        since = None
        if comparison.alarm:
            since = before.alarm_since if before is not None and before.alarm else self.at
        joint = comparison.joint
        return replace(
            self,
            shifts=comparison.shifts,
            joint_p_value=None if joint is None else joint.p_value,
            joint_moved=comparison.joint_moved,
            alarm_since=since,
        )

    def sentence(self) -> str:
        """Whether the images have moved, in one sentence without a full stop."""
        window = f"the last {self.images:,} images"
        if self.withheld is not None:
            return f"nothing is concluded about drift from {window}: {self.withheld}"
        other = (
            f"{self.n_reference:,} images of val_select"
            if self.against == "reference"
            else f"{self.n_reference:,} images of the same hours of earlier weeks"
        )
        rate = f"all tests together give {self.false_alarms:g} false alarms per week at most"
        if not self.with_units:
            rate += ", assuming that images do not depend on each other, since not all name their unit"
        if not self.alarm:
            return f"no drift between {window} and {other}; {rate}"
        named = [change_in_words(shift) for shift in self.moved[:_SHOWN]]
        more = len(self.moved) - len(named)
        if more > 0:
            named.append(f"{more} more")
        what = ", ".join(named) if named else "no signal alone, but all of them together (MMD)"
        return f"drift between {other} and {window}: {what}; {rate}"

    def performance_sentence(self, audited: tuple[float, float] | None = None) -> str | None:
        """Risk and accuracy without labels, with their assumption; None without images.

        `audited`: interval of the risk over all audits so far, by default that of the time of the comparison.
        It is set beside the probabilities of all windows so far: a risk that has risen lately is no
        contradiction.
        """
        audited = audited or self.audited_risk
        accuracy, risk = self.expected.accuracy, self.expected.risk
        if accuracy is None:
            return None
        said = f"{ASSUMPTION}, {_share(accuracy)} of the last {accuracy.n:,} labels are right"
        if risk is not None:
            said += f" and {_share(risk)} of the {risk.n:,} answers wrong"
        said += _before(self.expected_before)
        if self.risk_so_far is None or audited is None:
            return said
        low, high = (f"{100 * end:.2g}" for end in audited)
        said += (
            f"; of all answers so far the audits say that {low} to {high} % are wrong, "
            f"the probabilities {_share(self.risk_so_far)}"
        )
        if contradicts(self.risk_so_far, audited):
            said += ", which contradict each other: the probabilities no longer mean what they did"
        return said

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values, with the sentence."""
        return {**asdict(self), "alarm": self.alarm, "sentence": self.sentence()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Conclusion:
        """The inverse of `to_values`. Raises ValueError for other values."""
        return _reader().validate_python(values)


@cache
def _reader() -> TypeAdapter[Conclusion]:
    return TypeAdapter(Conclusion)


def _share(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.3g} % ({low:.3g} to {high:.3g})"


def _before(expected: ExpectedPerformance) -> str:
    """The same figures of the reference, in brackets."""
    if expected.accuracy is None:
        return ""
    figures = f"{100 * expected.accuracy.value:.3g} %"
    if expected.risk is not None:
        figures += f" and {100 * expected.risk.value:.2g} %"
    return f" (in the reference {figures})"
