"""Schedule of the outbox: which entry is tried next, and how long a receiver that fails is left alone.

Pauses double from 2 seconds to 15 minutes: ten tries in the first 17 minutes, then four in an hour. After an
outage of a day everything has arrived 15 minutes after its end. Pure functions over the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from monitoring.alerts.message import SEVERITIES
from monitoring.alerts.outbox.entry import Entry, Lane

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 900.0
LONGEST_KEPT: Final = 8 * 86_400.0
"""Seconds after which a message is given up: longer than a week, so that an outage over holidays is none."""
_TURN: Final = 6
"""Tries after which an entry lets the next one go first, in case the receiver fails because of it"""


def pause_after(tries: int) -> float:
    """Seconds between a failed try and the next one."""
    return min(FIRST_PAUSE * 2.0 ** min(tries - 1, 30), LONGEST_PAUSE) if tries > 0 else 0.0


def lanes_of(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries of each receiver in their order; receivers with the most severe message first."""
    lanes: dict[Lane, list[Entry]] = {}
    for entry in entries:
        lanes.setdefault(entry.lane, []).append(entry)
    ordered = [sorted(lane, key=_turn) for lane in lanes.values()]
    return sorted(ordered, key=lambda lane: (SEVERITIES.index(lane[0].message.severity), lane[0].added))


def next_of(lane: Sequence[Entry], now: float, *, delivered_at: float | None = None) -> Entry | None:
    """The entry of a lane to try at `now`; None while the receiver is left alone.

    `delivered_at`: when the receiver took its last message, if that is known; after a later failure it
    is left alone all the same. A message that came after it is tried at once; the oldest goes first.
    """
    head = lane[0]
    tried = [entry for entry in lane if entry.tried_at is not None]
    if not tried:
        return head
    last = max(tried, key=lambda entry: entry.tried_at or 0.0)
    at = last.tried_at or 0.0
    if delivered_at is not None and delivered_at >= at:
        return head
    until = max(at + pause_after(last.tries), last.not_before or 0.0)
    if at > now + 1.0 or now >= until:
        # A last try that lies ahead was noted by a clock that has been set back since.
        return head
    newer = last.not_before is None and any(entry.added > at for entry in lane if entry.tried_at is None)
    return head if newer else None


def is_too_old(entry: Entry, now: float) -> bool:
    """Whether an entry is given up at `now`."""
    return now - entry.added > LONGEST_KEPT


def _turn(entry: Entry) -> tuple[int, float, str]:
    return entry.tries // _TURN, entry.added, entry.key
