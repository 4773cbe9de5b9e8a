"""Plain text of a message, for mail and for services that take text alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.facts import MOST_ALERTS, facts_of, left_out, moment, title_line

_WIDTH: Final = 12
"""Characters for the name of a fact"""


def plain_text(message: Message) -> str:
    """The whole message as lines of text."""
    return "\n".join(_lines(message)) + "\n"


def _lines(message: Message) -> Iterator[str]:
    yield title_line(message)
    for alert in message.alerts[:MOST_ALERTS]:
        yield ""
        if alert.text:
            yield alert.text
            yield ""
        for name, value in facts_of(alert):
            yield f"  {name:<{_WIDTH}}{value}"
    if (sentence := left_out(message)) is not None:
        yield ""
        yield sentence
    yield ""
    yield f"Sent by demur at {moment(message.at)}, message {message.id}."
    yield "The same message may come twice; its id is the same then."
