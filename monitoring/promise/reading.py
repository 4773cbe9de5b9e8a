"""Reading: what the monitor of a bundle says at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from monitoring.promise.terms import Signal


@dataclass(frozen=True, slots=True)
class SignalReading:
    """One signal in one promised part."""

    signal: Signal
    part: str
    e_value: float
    """After the last item that counts"""
    peak: float
    """Largest value at any look since the beginning"""
    threshold: float
    """Value at which it alarms"""
    tested: float
    """Risk, or for the coverage the share of answers, that it tests against"""

    @property
    def alarm(self) -> bool:
        """Whether the value has reached the threshold at any look."""
        return self.peak >= self.threshold


@dataclass(frozen=True, slots=True)
class Reading:
    """The monitor of a bundle at one moment."""

    bundle: str
    since: float | None
    """Time of the first item that counts, Unix time, seconds; None without an item"""
    images: int = 0
    """Answered items that count"""
    audits: int = 0
    """Audits among them"""
    missing: int = 0
    """Audits among these whose label never came; they count as wrong"""
    waiting: int = 0
    """Audits that wait for their label now"""
    risk: tuple[float, float] = (0.0, 1.0)
    """95 % interval of the risk, valid at every look"""
    risk_of_labelled: tuple[float, float] | None = None
    """The same if labels are missing at random; None if none is missing"""
    decided: int = 0
    """Items that count for the coverage"""
    answered: int = 0
    """Answered ones among them"""
    signals: tuple[SignalReading, ...] = ()
    with_units: bool = False
    held_at: float | None = None
    """Time of the answer before which the monitor holds for good"""

    @property
    def missing_share(self) -> float:
        """Share of the audits whose label never came."""
        return self.missing / self.audits if self.audits else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        values["risk"] = list(self.risk)
        if self.risk_of_labelled is not None:
            values["risk_of_labelled"] = list(self.risk_of_labelled)
        values["signals"] = [{**asdict(one), "alarm": one.alarm} for one in self.signals]
        return values
