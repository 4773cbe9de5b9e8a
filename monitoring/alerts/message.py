"""Messages of the alerts: what a person is told, whatever the channel that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from monitoring.errors import MonitoringError

Severity = Literal["critical", "warning", "info"]
AlertState = Literal["pending", "firing", "acknowledged", "escalated", "resolved"]
MessageKind = Literal["firing", "escalated", "reminder", "resolved", "summary", "silence-ended", "test"]

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""Most severe first"""


class MessageUnreadable(MonitoringError):
    """A document is no message."""


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as a message shows it."""

    fingerprint: str
    rule: str
    severity: Severity
    state: AlertState
    labels: tuple[tuple[str, str], ...]
    value: float | None
    """The figure; None: no data"""
    low: float | None
    """Lower end of the figure's 95 % interval"""
    high: float | None
    n: int | None
    """Number of observations behind the figure"""
    since: float | None
    """Unix seconds since when the condition of the rule holds"""
    bundle: str | None
    text: str
    """Sentence with the figures"""
    action: str
    """What to do, in a sentence"""
    runbook: str
    """Page or URL that says it at length"""


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore"))
class Message:
    """One notification: one or more alerts that are told together."""

    id: str
    """Same on every try, so that a receiver can recognise a duplicate"""
    kind: MessageKind
    title: str
    alerts: tuple[AlertLine, ...]
    at: float
    """Unix seconds at which the message was made"""

    @property
    def severity(self) -> Severity:
        """The most severe of the alerts; "info" without any."""
        return min((alert.severity for alert in self.alerts), key=SEVERITIES.index, default="info")

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        return _MESSAGE.dump_json(self)

    @classmethod
    def from_json(cls, document: bytes | str) -> Message:
        """Raises MessageUnreadable."""
        try:
            return _MESSAGE.validate_json(document)
        except ValidationError as error:
            raise MessageUnreadable(f"a document is no message: {error.error_count()} faults") from None


_MESSAGE: Final = TypeAdapter(Message)
