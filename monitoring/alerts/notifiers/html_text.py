"""HTML of a message for mail: one table per alert, nothing to load, no link that changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from monitoring.alerts.message import AlertLine, Message
from monitoring.alerts.notifiers.facts import MOST_ALERTS, facts_of, left_out, moment, title_line

_COLOURS: Final = {"critical": "#b3261e", "warning": "#9a6700", "info": "#1f6f78"}
_OVER: Final = "#1a7f37"
"""Colour of what is resolved"""
_PAGE: Final = "font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;color:#1f2328;max-width:640px"
_NAME: Final = "padding:2px 16px 2px 0;color:#59636e;vertical-align:top;white-space:nowrap;font-weight:400"
_VALUE: Final = "padding:2px 0;vertical-align:top"


def html_text(message: Message) -> str:
    """The whole message as an HTML document."""
    title = escape(title_line(message))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body><div style="{_PAGE}">{"".join(_parts(message, title))}</div></body></html>\n'
    )


def _parts(message: Message, title: str) -> Iterator[str]:
    colour = _OVER if message.kind == "resolved" else _COLOURS[message.severity]
    yield f'<h1 style="font-size:19px;border-left:5px solid {colour};padding-left:12px">{title}</h1>'
    for alert in message.alerts[:MOST_ALERTS]:
        yield _alert(alert)
    if (sentence := left_out(message)) is not None:
        yield f"<p>{escape(sentence)}</p>"
    yield (
        '<p style="color:#59636e;font-size:13px">'
        f"Sent by demur at {escape(moment(message.at))}, message {escape(message.id)}. "
        "The same message may come twice; its id is the same then.</p>"
    )


def _alert(alert: AlertLine) -> str:
    rows = "".join(
        f'<tr><th scope="row" align="left" style="{_NAME}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{_value(name, value)}</td></tr>'
        for name, value in facts_of(alert)
    )
    sentence = f"<p>{escape(alert.text)}</p>" if alert.text else ""
    return f'{sentence}<table style="border-collapse:collapse;margin:0 0 20px">{rows}</table>'


def _value(name: str, value: str) -> str:
    text = escape(value)
    if name == "Runbook" and value.startswith(("https://", "http://")):
        return f'<a href="{text}">{text}</a>'
    return f"<strong>{text}</strong>" if name in ("Figure", "What to do") else text
