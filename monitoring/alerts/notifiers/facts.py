"""Facts of an alert that every channel shows: figure, interval, n, since when, bundle, labels, id."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from monitoring.alerts.message import AlertLine, Message

MOST_ALERTS: Final = 20
"""Alerts that one message shows; the others are counted."""
_LONGEST_TITLE: Final = 150


def title_line(message: Message) -> str:
    """The title in one line."""
    line = " ".join(message.title.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1]}…"


def facts_of(alert: AlertLine) -> Iterator[tuple[str, str]]:
    """(name, value) of each fact, in the order in which they are read."""
    yield "Rule", f"{alert.rule} ({alert.severity}, {alert.state})"
    yield "Figure", figure_of(alert)
    if alert.since is not None:
        yield "Since", moment(alert.since)
    yield "Bundle", alert.bundle or "not of one bundle"
    labels = [f"{name} {value}" for name, value in alert.labels if name != "bundle"]
    if labels:
        yield "Of", ", ".join(labels)
    if alert.action:
        yield "What to do", alert.action
    if alert.runbook:
        yield "Runbook", alert.runbook
    yield "Alert", alert.fingerprint


def figure_of(alert: AlertLine) -> str:
    """The figure with its interval and the number of observations: `0.021 (95 %: 0.013 to 0.034), n 940`."""
    if alert.value is None:
        return "no data"
    text = number(alert.value)
    if alert.low is not None and alert.high is not None:
        text += f" (95 %: {number(alert.low)} to {number(alert.high)})"
    elif alert.low is not None or alert.high is not None:
        bound = f"at least {number(alert.low)}" if alert.low is not None else f"at most {number(alert.high)}"
        text += f" (95 %: {bound})"
    return text if alert.n is None else f"{text}, n {alert.n:,}"


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where a person would write none."""
    if value is None or not math.isfinite(value):
        return "unbounded" if value is not None and math.isinf(value) else "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def moment(seconds: float) -> str:
    """Unix seconds as a person reads them, in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def left_out(message: Message) -> str | None:
    """A sentence about the alerts that are not shown; None if all are."""
    more = len(message.alerts) - MOST_ALERTS
    return None if more <= 0 else f"And {more} more: `demur alerts list` shows all of them."
