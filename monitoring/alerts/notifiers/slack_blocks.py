"""Blocks of a message for Slack: a header, the sentence and the facts of each alert, and the ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from monitoring.alerts.message import AlertLine, Message
from monitoring.alerts.notifiers.facts import MOST_ALERTS, facts_of, left_out, moment, title_line

_LONGEST_SECTION: Final = 3000
"""Characters that Slack takes in one section; a longer one makes it refuse the whole message."""


def slack_payload(message: Message) -> dict[str, Any]:
    """The JSON body: the blocks, and a line of text for notifications on a phone."""
    return {"text": _escaped(title_line(message)), "blocks": list(_blocks(message))}


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    yield {"type": "header", "text": {"type": "plain_text", "text": title_line(message), "emoji": False}}
    for alert in message.alerts[:MOST_ALERTS]:
        yield {"type": "section", "text": {"type": "mrkdwn", "text": _alert(alert)}}
    if (sentence := left_out(message)) is not None:
        yield {"type": "section", "text": {"type": "mrkdwn", "text": _escaped(sentence)}}
    end = f"Sent by demur at {moment(message.at)}, message {message.id}. It may come twice, with the same id."
    yield {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(end)}]}


def _alert(alert: AlertLine) -> str:
    lines = [_escaped(alert.text)] if alert.text else []
    lines += [f"*{name}*: {_escaped(value)}" for name, value in facts_of(alert)]
    text = "\n".join(lines)
    return text if len(text) <= _LONGEST_SECTION else f"{text[: _LONGEST_SECTION - 1]}…"


def _escaped(text: str) -> str:
    """As Slack wants it: a name such as `<!channel>` in a label must not ring everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
