"""The recount names what differs."""

from __future__ import annotations

from dataclasses import replace

from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.promise.item_recount import CountedItems, ItemRecount
from monitoring.promise.items import AuditItem
from monitoring.windows.unit_windows import ItemTimes

FRAME = PredictionEvent(*("a", "b:1", 1, 1, "A", 1.0, 0.9, 100.5, "u", True), draw=0.5, audit_probability=0.2)


def test_items_by_hand() -> None:
    """Of a unit's three frames the smallest draw counts, for the coverage also that of an abstention."""
    counted = ItemRecount(ItemTimes(gap=600.0, wait=1000.0))
    counted.add([FeedbackEvent("a", 0, 150.0), FeedbackEvent("a", 1, 1101.0)])
    counted.add([FRAME, replace(FRAME, draw=0.0, answer=0), replace(FRAME, request_id="later", draw=0.6)])
    counted.add([replace(FRAME, request_id="abstained", answer=None, draw=0.1, audit=False, at=102.0)])
    counted.add([replace(FRAME, request_id="alone", unit_id=None, audit=False, at=103.0)])
    counted.add([replace(FRAME, request_id="not counted", draw=None, audit=False)])
    assert counted.bundles() == ["b:1"]
    assert counted.items("b:1") == CountedItems(
        audits={"a": AuditItem("a", "u", 100.5, 0.2, True, 150.0)},
        unaudited={103: {"": 1}},
        decided={102: (1, 0), 103: (1, 1)},
    )


def test_differences_are_named() -> None:
    held = CountedItems(
        {"a": AuditItem("a", None, 5.0, 0.2, None, None)}, {5: {"": 1}}, {5: (2, 2), 9: (1, 0)}
    )
    assert held.differences(held) == []
    other = CountedItems({}, {5: {"": 2}}, {5: (2, 2)})
    assert [one.split(":")[0] for one in held.differences(other)] == [
        "audit a",
        "the unaudited items of second 5",
        "the decided items of second 9",
    ]
    assert held.since(6.0) == CountedItems({}, {}, {9: (1, 0)})
