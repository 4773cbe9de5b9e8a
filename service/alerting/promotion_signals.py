"""Signal of the promotions: the last one of the followed fleet was rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bundle.registry.promotions import ROLLED_BACK
from monitoring.alerts.alert import Alert
from monitoring.alerts.signals import Reading, labels_of
from service.following.followed_file import Followed

SIGNAL: Final = "promotion_rolled_back"
_FOR: Final = 86_400.0
"""Seconds for which a rollback is an alarm, unless another promotion begins before"""


def promotion_readings(followed: Followed | None, alerts: Sequence[Alert], now: float) -> Iterator[Reading]:
    """The reading of the followed fleet; alerts of another fleet end. `followed`: what this service has
    served last, None if it follows none; `now`: Unix time, seconds."""
    fleet = None if followed is None else followed.fleet
    if followed is not None:
        yield _reading(followed, now)
    for alert in alerts:
        if alert.reading is not None and alert.reading.signal == SIGNAL and alert.label("fleet") != fleet:
            text = f"this service does not follow {alert.label('fleet')} any more"
            yield Reading(SIGNAL, alert.labels, None, None, None, None, None, now, text, over=True)


def _reading(followed: Followed, now: float) -> Reading:
    labels, state = labels_of({"fleet": followed.fleet}), followed.generation.promotion
    if state is None:
        text = f"{followed.fleet} has had no promotion since its last change"
        return Reading(SIGNAL, labels, 0.0, None, None, None, None, now, text)
    text = f"the promotion {state.id} of {state.newcomer.label} in {followed.fleet} is {state.phase}"
    if state.why is not None:
        text = f"{text}: {state.why}"
    alarm = state.phase == ROLLED_BACK and now - state.since < _FOR
    return Reading(SIGNAL, labels, float(alarm), None, None, None, state.since, now, text)
