"""Items: what the monitors of a promise count, and the reader that hands them over.

Frames of one unit in a short time are no independent evidence, so of each unit and window of time one frame
counts, drawn at random: the *item*. Its label is asked for with a probability of its own (then the item is
*audited*) or not; both kinds count in the monitor of the risk. The monitor of the coverage has items over all
decided frames, answered or not. A frame without a unit is an item of its own.

Until its window has ended, a frame with a smaller draw may take the place of an item: the earlier one is then
removed. A monitor that looks at the item of a unit before that, while it may still be exchanged, has a chance
too many to alarm; `DEMUR_AUDIT_GAP` seconds after its answer an item of a unit is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

NO_PART: Final = ""
"""The part of an answer if the certificate promises all answers together"""


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One audited item."""

    request_id: str
    unit_id: str | None
    at: float
    """Unix time of the answer, seconds, in whole microseconds."""
    probability: float
    """Probability pi in (0, 1] with which this frame was to be audited."""
    wrong: bool | None
    """Whether the answer was wrong; None while there is no label from within the wait for one."""
    label_at: float | None
    """Unix time of that label, seconds."""
    part: str = NO_PART
    """The promised part in which the answer lies."""


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """What has changed since an earlier look. A value replaces the one of that look; it is no increment."""

    sequence: int
    """To ask for the changes after these."""
    audits: Sequence[AuditItem]
    """New audited items, and those whose label has changed."""
    removed: Sequence[str]
    """Request ids that are no longer items; of an unknown one, nothing is to be removed."""
    unaudited: Mapping[int, Mapping[str, int]]
    """Second -> promised part -> number of items answered in it that are not audited."""
    decided: Mapping[int, tuple[int, int]]
    """Second -> (items over all decided frames, answered ones among them), for the coverage."""
    complete: bool
    """Everything that is held was sent, at a first look or since the store has lost its memory: forget the
    values of earlier looks at or after `since`."""
    since: float
    """Unix time, seconds: items answered before it are no longer held, and their values are final."""
    with_units: bool
    """Whether any item has had a unit; otherwise the monitors assume independent images."""


@dataclass(frozen=True, slots=True)
class WaitingAudit:
    """An audited item without a label."""

    request_id: str
    unit_id: str | None
    bundle: str
    """`name:version`"""
    at: float
    """Unix time of the answer, seconds."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some of the audits that wait, the oldest first."""

    audits: Sequence[WaitingAudit]
    next: str | None
    """To ask for the audits behind these; None: there are no more."""


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """Audits of a bundle since it first served, as far as the store and the event logs remember."""

    drawn: int
    """Answers that asked for a label."""
    replaced: int
    """Those that another frame of the same unit and window has replaced."""
    labelled: int
    """Items whose label came within the wait for it."""
    expired: int
    """Items whose label did not."""


class ItemReader(Protocol):
    """The items as the store holds them; `monitoring.promise.stored_items.StoredItems` is one.

    Every method raises `monitoring.store.contract.StoreUnavailable` if the store does not answer.
    """

    def changes(self, bundle: str, after: int | None) -> ItemChanges:
        """The changes since the look that gave the sequence `after`; None: everything that is held."""

    def waiting(self, bundle: str | None, after: str | None, limit: int) -> AuditPage:
        """At most `limit` audits that wait for their label; of all bundles if `bundle` is None.

        `after`: the `next` of an earlier page; None: from the oldest on. Raises ValueError for a text that
        no page gave.
        """

    def counts(self, bundle: str) -> AuditCounts:
        """Audits drawn, replaced, labelled and expired."""

    def close(self) -> None:
        """Close the connections to the store."""
