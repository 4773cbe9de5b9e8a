"""Services of one store know what the others have told; without the store each goes on by itself."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import structlog
from fakes.alert_messages import message

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.outbox import Outbox
from monitoring.alerts.outbox.told import ToldMessages
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.store.shared_document import SharedDocument


class Receiver:
    receivers = ("",)

    def __init__(self, outcome: str = "delivered") -> None:
        self.outcome = outcome
        self.ids: list[str] = []

    def send(self, message: Message, to: str = "") -> Delivery:
        self.ids.append(message.id)
        return Delivery(self.outcome, "")  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now


@pytest.fixture
def document(valkey: EmbeddedValkey) -> SharedDocument:
    return SharedDocument(valkey.url, f"told-{uuid.uuid4().hex}", timeout=10.0)


def test_a_service_that_returns_tells_nothing_that_another_has_told(
    tmp_path: Path, document: SharedDocument
) -> None:
    clock, away, there = Clock(), Receiver("unknown"), Receiver()
    first = Outbox(tmp_path / "a", {"hook": away}, told=ToldMessages(document), clock=clock)
    for number in range(3):
        first.add(message(f"m-{number}"), "hook")
    first.deliver_due()
    # It is killed; the next engine of the store goes on with two of the three.
    second = Outbox(tmp_path / "b", {"hook": there}, told=ToldMessages(document), clock=clock)
    for number in (0, 1):
        second.add(message(f"m-{number}"), "hook")
    while second.deliver_due():
        pass
    assert there.ids == ["m-0", "m-1"]
    clock.now += 60.0
    returned = Receiver()
    first = Outbox(tmp_path / "a", {"hook": returned}, told=ToldMessages(document), clock=clock)
    for _ in range(5):
        first.deliver_due()
    assert returned.ids == ["m-2"]
    assert first.waiting() == 0
    assert first.is_done(message("m-0"), "hook")


def test_without_the_store_nothing_is_held_up_and_it_is_told_later(document: SharedDocument) -> None:
    clock = Clock()
    gone = SharedDocument("redis://127.0.0.1:1/0", "told", timeout=0.2)
    told = ToldMessages(gone, clock)
    with structlog.testing.capture_logs() as logs:
        told.note("a")
        assert told.knows("a")
        assert not told.knows("b")
    assert len(logs) == 1
    told._document = document
    clock.now += 2.0
    assert told.knows("a")
    assert ToldMessages(document).knows("a")


def test_only_so_many_are_remembered(document: SharedDocument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.alerts.outbox.told.MOST_KEYS", 3)
    told = ToldMessages(document)
    for key in "abcd":
        told.note(key)
    assert [ToldMessages(document).knows(key) for key in "abcd"] == [False, True, True, True]
