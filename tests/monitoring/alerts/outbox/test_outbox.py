"""The outbox: on the disk before it is sent, tried until it is told, shared by threads and processes."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from fakes.alert_messages import message
from fakes.waiting import eventually

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.outbox import Entry, Outbox
from monitoring.alerts.outbox.delivery_threads import DeliveryThreads

GOOD, LOST = Delivery("delivered", "200"), Delivery("unknown", "no answer")
NO = Delivery("refused", "422", final=True)


class Receiver:
    """A channel that keeps what it gets and answers as it is told."""

    def __init__(self, *receivers: str, says: Delivery = GOOD) -> None:
        self.receivers = receivers or ("",)
        self.says = says
        self.got: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, message: Message, to: str = "") -> Delivery:
        self.got.append((message.id, to))
        self.gate.wait(300)
        return self.says


class Clock:
    """Stands still but for a moment with each look, as no two moments are the same."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now


def outbox(folder: Path, receiver: Receiver, clock: Callable[[], float] | None = None) -> Outbox:
    return Outbox(folder, {"hook": receiver}, clock=clock or Clock())


def test_a_message_is_told_once_and_known_afterwards(tmp_path: Path) -> None:
    receiver = Receiver()
    box = outbox(tmp_path, receiver)
    box.add(message("m-1"), "hook")
    box.add(message("m-1"), "hook")
    assert box.waiting() == 1
    assert box.deliver_due() == 1
    box.add(message("m-1"), "hook")
    assert (box.waiting(), box.deliver_due()) == (0, 0)
    assert receiver.got == [("m-1", "")]


def test_what_one_process_has_taken_another_one_tells(tmp_path: Path) -> None:
    receiver = Receiver()
    outbox(tmp_path, Receiver()).add(message("m-1"), "hook")
    later = outbox(tmp_path, receiver)
    assert later.deliver_due() == 1
    assert receiver.got == [("m-1", "")]
    assert outbox(tmp_path, receiver).waiting() == 0


def test_every_process_knows_what_is_done_and_for_whom(tmp_path: Path) -> None:
    receiver = Receiver("ana", "ben")
    box, other = outbox(tmp_path, receiver), outbox(tmp_path, receiver)
    assert not other.is_done(message("m-1"), "hook")
    box.add(message("m-1"), "hook")
    assert not other.is_done(message("m-1"), "hook")
    receiver.says = LOST
    box.deliver_due()
    assert not box.is_done(message("m-1"), "hook")
    receiver.says = GOOD
    box.add(message("m-2"), "hook", "ben")
    while box.deliver_due():
        pass
    assert other.is_done(message("m-2"), "hook", "ben")
    assert not other.is_done(message("m-2"), "hook")


def test_each_receiver_of_a_channel_gets_it_and_a_person_alone_if_named(tmp_path: Path) -> None:
    receiver = Receiver("ana", "ben")
    box = outbox(tmp_path, receiver)
    box.add(message("m-1"), "hook")
    box.add(message("m-2"), "hook", "eve")
    while box.deliver_due():
        pass
    assert sorted(receiver.got) == [("m-1", "ana"), ("m-1", "ben"), ("m-2", "eve")]


def test_a_lost_answer_is_tried_again_with_the_same_id_and_noted(tmp_path: Path) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    seen: list[tuple[int, str]] = []
    box = Outbox(
        tmp_path,
        {"hook": receiver},
        lambda entry, said: seen.append((entry.tries, said.outcome)),
        clock=clock,
    )
    box.add(message("m-1"), "hook")
    assert box.deliver_due() == 1
    assert box.deliver_due() == 0
    clock.now += 2.0
    receiver.says = GOOD
    assert box.deliver_due() == 1
    assert receiver.got == [("m-1", "")] * 2
    assert seen == [(1, "unknown"), (2, "delivered")]


def test_messages_come_in_their_order_after_an_outage(tmp_path: Path) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    for number in range(5):
        box.add(message(f"m-{number}"), "hook")
        clock.now += 1.0
        box.deliver_due()
    receiver.says, receiver.got = GOOD, []
    clock.now += 1000.0
    while box.deliver_due():
        pass
    assert [id for id, _ in receiver.got] == [f"m-{number}" for number in range(5)]


def test_a_refusal_for_good_ends_a_message_and_holds_no_other_up(tmp_path: Path) -> None:
    receiver = Receiver(says=NO)
    box = outbox(tmp_path, receiver)
    with structlog.testing.capture_logs() as logs:
        box.add(message("m-1"), "hook")
        box.deliver_due()
    assert [log["log_level"] for log in logs] == ["error"]
    receiver.says = GOOD
    box.add(message("m-2"), "hook")
    assert box.deliver_due() == 1
    assert box.waiting() == 0


def test_a_channel_that_the_rules_have_lost_is_waited_for(tmp_path: Path) -> None:
    clock = Clock()
    outbox(tmp_path, Receiver(), clock).add(message("m-1"), "hook")
    box = Outbox(tmp_path, {}, clock=clock)
    box.deliver_due()
    assert box.entries()[0].detail == "refused: the rules file names no such channel any more"
    receiver = Receiver()
    box.channels = {"hook": receiver}
    clock.now += 2.0
    box.deliver_due()
    assert receiver.got == [("m-1", "")]


def test_a_message_is_given_up_after_eight_days_and_said(tmp_path: Path) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    box.add(message("m-1"), "hook")
    clock.now += 8 * 86_400.0 + 1
    assert box.oldest()["hook"] > 8 * 86_400.0
    with structlog.testing.capture_logs() as logs:
        box.deliver_due()
    assert box.waiting() == 0
    assert "eight days" in logs[0]["detail"]
    assert receiver.got == []


def test_no_more_than_a_number_of_messages_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.alerts.outbox.outbox.MOST_WAITING", 3)
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    for number in range(5):
        clock.now += 1.0
        box.add(message(f"m-{number}"), "hook")
    box.deliver_due()
    assert [entry.message.id for entry in box.entries()] == ["m-2", "m-3", "m-4"]


def test_two_processes_do_not_tell_the_same_message_at_once(tmp_path: Path) -> None:
    receiver, clock = Receiver(), Clock()
    receiver.gate.clear()
    first, second = outbox(tmp_path, receiver, clock), outbox(tmp_path, receiver, clock)
    first.add(message("m-1"), "hook")
    first.add(message("m-2"), "hook")
    thread = threading.Thread(target=first.deliver_due)
    thread.start()
    try:
        eventually(lambda: len(receiver.got) == 1)
        # Not the second message either: messages to one receiver come in their order.
        assert second.deliver_due() == 0
    finally:
        receiver.gate.set()
        thread.join()
    while first.deliver_due() + second.deliver_due():
        pass
    assert [id for id, _ in receiver.got] == ["m-1", "m-2"]


def test_a_failure_that_another_process_saw_holds_this_one_back_too(tmp_path: Path) -> None:
    receiver, clock = Receiver(), Clock()
    first, second = outbox(tmp_path, receiver, clock), outbox(tmp_path, receiver, clock)
    first.add(message("m-1"), "hook")
    assert first.deliver_due() == 1
    receiver.says = LOST
    second.add(message("m-2"), "hook")
    assert second.deliver_due() == 1
    assert first.deliver_due() == 0
    clock.now += 2.0
    assert first.deliver_due() == 1


def test_a_file_that_is_no_message_is_set_aside(tmp_path: Path) -> None:
    receiver = Receiver()
    box = outbox(tmp_path, receiver)
    box.add(message("m-1"), "hook")
    (tmp_path / "waiting" / "junk.json").write_text("{")
    with structlog.testing.capture_logs() as logs:
        assert box.deliver_due() == 1
    assert [log["event"] for log in logs] == ["alert_message_unreadable", "alert_message_delivered"]
    assert (tmp_path / "waiting" / "junk.json.unreadable").exists()
    assert box.waiting() == 0


def test_others_cannot_read_addresses(tmp_path: Path) -> None:
    outbox(tmp_path, Receiver()).add(message("m-1"), "hook", "ana@example.org")
    (file,) = (tmp_path / "waiting").iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.fixture
def disk_full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Switches whether the disk takes anything."""
    sync, full = os.fsync, [True]

    def fsync(file: int) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr("os.fsync", fsync)
    return lambda value: full.__setitem__(0, value)


def test_with_the_disk_full_it_goes_on_from_memory_and_says_so_once(
    tmp_path: Path, disk_full: Callable[[bool], None]
) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    with structlog.testing.capture_logs() as logs:
        for number in range(3):
            box.add(message(f"m-{number}"), "hook")
        assert box.waiting() == 3
        box.deliver_due()
        clock.now += 2.0
        box.deliver_due()
        receiver.says = GOOD
        clock.now += 10.0
        box.deliver_due()
        box.tidy()
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["alert_outbox_unwritable"]
    assert receiver.got == [("m-0", "")] * 3
    assert box.waiting() == 2
    # Told, and known to be told, although no disk says so.
    assert box.is_done(message("m-0"), "hook")
    assert not box.is_done(message("m-1"), "hook")
    box.add(message("m-0"), "hook")
    assert box.waiting() == 2
    disk_full(False)
    box.tidy()
    later = Receiver()
    other = outbox(tmp_path, later, clock)
    while other.deliver_due():
        pass
    assert sorted(later.got) == [("m-1", ""), ("m-2", "")]
    assert box.deliver_due() == 0


def test_tries_that_the_disk_does_not_take_hold_the_pauses_all_the_same(
    tmp_path: Path, disk_full: Callable[[bool], None]
) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    disk_full(False)
    box.add(message("m-1"), "hook")
    disk_full(True)
    for _ in range(5):
        box.deliver_due()
    assert receiver.got == [("m-1", "")]
    receiver.says = GOOD
    clock.now += 2.0
    for _ in range(5):
        box.deliver_due()
    assert receiver.got == [("m-1", "")] * 2
    disk_full(False)
    box.tidy()
    assert outbox(tmp_path, receiver, clock).waiting() == 0


def test_what_a_process_could_not_note_another_one_may_finish(
    tmp_path: Path, disk_full: Callable[[bool], None]
) -> None:
    receiver, clock = Receiver(says=LOST), Clock()
    box = outbox(tmp_path, receiver, clock)
    disk_full(False)
    box.add(message("m-1"), "hook")
    disk_full(True)
    box.deliver_due()
    disk_full(False)
    receiver.says = GOOD
    outbox(tmp_path, receiver, clock).deliver_due()
    clock.now += 100.0
    box.tidy()
    assert box.deliver_due() == 0
    assert outbox(tmp_path, receiver, clock).waiting() == 0


def test_threads_tell_at_once_and_a_receiver_that_hangs_holds_no_other_up(tmp_path: Path) -> None:
    good, bad = Receiver(), Receiver(says=LOST)
    box = Outbox(tmp_path, {"good": good, "bad": bad})
    threads = DeliveryThreads(box)
    threads.start()
    try:
        box.add(message("m-1"), "bad")
        threads.wake()
        eventually(lambda: len(bad.got) == 1)
        bad.gate.clear()
        eventually(lambda: len(bad.got) == 2)
        for number in range(5):
            box.add(message(f"g-{number}"), "good")
        threads.wake()
        eventually(lambda: len(good.got) == 5)
        assert len(bad.got) == 2
    finally:
        bad.gate.set()
        threads.stop(5)


def test_an_observer_that_fails_ends_no_thread(tmp_path: Path) -> None:
    receiver = Receiver()

    def fail(entry: Entry, said: Delivery) -> None:
        raise RuntimeError("no")

    box = Outbox(tmp_path, {"hook": receiver}, fail)
    threads = DeliveryThreads(box)
    threads.start()
    try:
        for number in range(3):
            box.add(message(f"m-{number}"), "hook")
        eventually(lambda: len(receiver.got) == 3)
    finally:
        threads.stop(5)
    assert [id for id, _ in receiver.got] == ["m-0", "m-1", "m-2"]
