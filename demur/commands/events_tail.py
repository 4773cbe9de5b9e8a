"""`demur events tail`: the latest events as lines on the terminal, and those that follow."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final

from demur.commands.events import EventLogs
from demur.output import printable
from monitoring.delivery.event_lines import kind_of, line_of
from monitoring.events import Event, FailureEvent, PredictionEvent
from service.settings import Settings

_POLL: Final = 0.25
"""Seconds between two looks at the logs."""


def tail(
    settings: Settings,
    *,
    lines: int,
    follow: bool,
    bundle: str | None = None,
    kind: str | None = None,
    as_json: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Print the last `lines` events of all workers in the order of their times; with `follow` also each
    later one, while `go_on`. Raises NoEvents.

    `bundle`: predictions of this one alone, and no labels; `kind`: `prediction` or `feedback` alone.
    """

    def shown(event: Event) -> bool:
        of_bundle = bundle is None or (isinstance(event, PredictionEvent) and event.bundle == bundle)
        return of_bundle and (kind is None or kind_of(event) == kind)

    logs = EventLogs.of(settings)
    latest: list[Event] = []
    for reader in logs.readers:
        latest += deque(filter(shown, reader.events()), maxlen=lines)
    latest.sort(key=attrgetter("at"))
    _print(latest[-lines:] if lines else [], as_json)
    while follow and go_on():
        time.sleep(_POLL)
        fresh = [event for reader in logs.readers for event in reader.events() if shown(event)]
        _print(sorted(fresh, key=attrgetter("at")), as_json)
        # A worker that has been started meanwhile writes a log of its own.
        known = {reader.folder for reader in logs.readers}
        later = EventLogs.of(settings).readers
        logs = EventLogs(logs.model, [*logs.readers, *(one for one in later if one.folder not in known)])


def _print(events: Iterable[Event], as_json: bool) -> None:
    for event in events:
        if as_json:
            sys.stdout.write(line_of(event).decode())
        else:
            print(printable(in_words(event)))
    sys.stdout.flush()


def in_words(event: Event) -> str:
    """`2026-11-30 23:10:11.250  answer   cam7-0311  1 by A, p(1) .98, demur:f73d` and the like."""
    at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if isinstance(event, FailureEvent):
        return f"{at}  failed   {event.request_id}  {event.problem}, {event.bundle}"
    if not isinstance(event, PredictionEvent):
        source = "" if event.source is None else f" from {event.source}"
        return f"{at}  label    {event.request_id}  {event.label}{source}"
    answered = event.answer is not None
    what = f"{event.answer} by {event.stage}" if answered else f"{event.reason or 'no answer'}, {event.stage}"
    audit = ", audit" if event.audit else ""
    arm = "" if event.experiment is None else f", {event.arm} in {event.experiment}.{event.stratum}"
    word = "answer " if answered else "abstain"
    return (
        f"{at}  {word}  {event.request_id}  {what}, p(1) {event.probability:.3f}, {event.bundle}{audit}{arm}"
    )
