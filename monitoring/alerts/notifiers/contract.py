"""Contract of the notifiers: a message goes out once, and what became of it has three answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from monitoring.alerts.message import Message

Outcome = Literal["delivered", "refused", "unknown"]
"""delivered: the receiver said that it has the message. refused: it certainly has not. unknown: the message
was sent, or part of it, and no answer came, so that nothing is known."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one try."""

    outcome: Outcome
    detail: str
    """One line for logs and people; holds no secret"""
    retry_after: float | None = None
    """Seconds that the receiver asks to wait before the next try"""
    final: bool = False
    """Whether another try of the same message is certain to be refused as well"""


NO_RECEIVER: Final = Delivery(
    "refused", "there is no receiver: neither a person nor the channel's `to`", final=True
)


class Notifier(Protocol):
    """One channel, ready to send; used from any thread."""

    def send(self, message: Message, to: str = "") -> Delivery:
        """Try once to deliver. `to`: address or number; "" in channels that have one receiver.

        Returns within the time limit of the channel and raises nothing.
        """
        ...
