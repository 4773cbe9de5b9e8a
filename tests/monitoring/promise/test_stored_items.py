"""The items on a real Valkey, compared with an independent recount."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.promise.item_recount import CountedItems, ItemRecount
from monitoring.promise.items import AuditCounts, AuditItem, ItemChanges
from monitoring.promise.stored_items import StoredItems
from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import REWARD_SIZES
from monitoring.windows.unit_windows import ItemTimes

BUNDLE = "roadwork:1"
TIMES = ItemTimes(gap=600.0, wait=1000.0)
NOW = float(round(time.time()))
NO_COUNTS = AuditCounts(0, 0, 0, 0)


def decided(
    request_id: str,
    draw: float | None,
    *,
    answer: int | None = 1,
    pi: float | None = None,
    at: float = 0.0,
    unit: str | None = None,
    bundle: str = BUNDLE,
    part: str = "",
) -> PredictionEvent:
    """A frame decided `at` seconds from now; `pi`: it is audited, with this probability."""
    return PredictionEvent(
        request_id=request_id,
        bundle=bundle,
        predicted=1,
        answer=answer,
        stage="A",
        confidence=1.0,
        probability=0.9,
        at=NOW + at,
        unit_id=unit,
        audit=pi is not None,
        draw=draw,
        audit_probability=pi,
        part=part,
    )


def labelled(request_id: str, label: int, at: float = 1.0) -> FeedbackEvent:
    return FeedbackEvent(request_id, label, NOW + at)


@dataclass
class State:
    """What a reader knows after all changes so far."""

    audits: dict[str, AuditItem] = field(default_factory=dict)
    unaudited: dict[int, Mapping[str, int]] = field(default_factory=dict)
    decided: dict[int, tuple[int, int]] = field(default_factory=dict)
    sequence: int | None = None

    def follow(self, changes: ItemChanges) -> None:
        if changes.complete:
            self.audits, self.unaudited, self.decided = {}, {}, {}
        for request_id in changes.removed:
            self.audits.pop(request_id, None)
        self.audits |= {item.request_id: item for item in changes.audits}
        self.unaudited |= changes.unaudited
        self.decided |= changes.decided
        self.sequence = changes.sequence

    def items(self) -> CountedItems:
        return CountedItems.without_zeros(self.audits, self.unaudited, self.decided)


def read(items: StoredItems, bundle: str = BUNDLE) -> CountedItems:
    return CountedItems.held(items.changes(bundle, None))


def recount(events: Sequence[Event], bundle: str = BUNDLE) -> CountedItems:
    counted = ItemRecount(TIMES)
    counted.add(events)
    return counted.items(bundle)


def recounted(events: Sequence[Event], expired: Callable[[AuditItem], bool]) -> AuditCounts:
    frames = {one.request_id: one for one in events if isinstance(one, PredictionEvent)}
    drawn = sum(one.audit for one in frames.values() if one.bundle == BUNDLE)
    items = recount(events).audits.values()
    with_label = sum(item.wrong is not None for item in items)
    late = sum(item.wrong is None and expired(item) for item in items)
    return AuditCounts(drawn, drawn - len(items), with_label, late)


@pytest.fixture
def writers(valkey: EmbeddedValkey, model: str) -> Iterator[list[RollingWindows]]:
    clients = [connect(valkey.url) for _ in range(3)]
    yield [RollingWindows(client, model, items=TIMES) for client in clients]
    for client in clients:
        client.close()


@pytest.fixture
def items(valkey: EmbeddedValkey, model: str) -> Iterator[StoredItems]:
    client = connect(valkey.url)
    yield StoredItems(client, model, TIMES, clock=lambda: NOW)
    client.close()


_UNITS = st.sampled_from([None, None, "cam-1", "cam-2", "x" * 10_000])


@st.composite
def _streams(draw: st.DrawFn) -> list[Event]:
    """Frames of two bundles, and labels that are early, late, repeated, corrected or of nothing."""
    events: list[Event] = []
    draws = draw(st.permutations(range(12)))
    for number in range(draw(st.integers(1, 12))):
        answer = draw(st.sampled_from([None, 0, 1]))
        audited = answer is not None and draw(st.booleans())
        frame = decided(
            f"r{number}",
            draws[number] / 12 if draw(st.integers(0, 9)) else None,
            answer=answer,
            pi=draw(st.sampled_from([0.1, 1 / 3, 1.0])) if audited else None,
            at=-draw(st.integers(0, 3_000_000_000)) / 1e6,
            unit=draw(_UNITS),
            bundle=draw(st.sampled_from([BUNDLE, BUNDLE, "roadwork:2"])),
            part="" if answer is None else draw(st.sampled_from(["", "yes", "10: d\nu"])),
        )
        events.append(replace(frame, audit=False, audit_probability=None) if frame.draw is None else frame)
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.sampled_from([-5000.0, -1500.0, -1000.5, -3.0, -2.0, 0.0, 500.0]))
        events.append(labelled(f"r{draw(st.integers(0, 12))}", draw(st.integers(0, 2)), at))
    return events


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_any_writers_gives_the_same_items(
    valkey: EmbeddedValkey, model: str, data: st.DataObject
) -> None:
    """Shuffled, with copies, by three writers in pieces; a reader follows the changes meanwhile."""
    events = data.draw(_streams())
    copies = data.draw(st.lists(st.sampled_from(events), max_size=4))
    sent = data.draw(st.permutations(events + copies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    client = connect(valkey.url)
    client.flushall()
    writers = [RollingWindows(client, model, items=TIMES) for _ in range(3)]
    reader = StoredItems(client, model, TIMES, clock=lambda: NOW)
    followed = State()
    followed.follow(reader.changes(BUNDLE, None))
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(sent)], strict=True)):
        writers[number % 3].apply(sent[start:stop])
        followed.follow(reader.changes(BUNDLE, followed.sequence))
    expected = recount(events)
    assert read(reader) == expected
    assert followed.items() == expected
    assert reader.counts(BUNDLE) == recounted(events, lambda item: item.at < NOW - TIMES.wait)
    assert read(reader, "roadwork:2") == recount(events, "roadwork:2")
    client.close()


def test_a_smaller_draw_takes_the_place_of_an_item(writers: list[RollingWindows], items: StoredItems) -> None:
    writers[0].apply([decided("a", 0.5, pi=0.2, unit="u"), labelled("a", 0)])
    first = items.changes(BUNDLE, None)
    assert [(item.request_id, item.wrong) for item in first.audits] == [("a", True)]
    assert first.with_units
    writers[1].apply([decided("b", 0.3, unit="u"), decided("c", 0.4, pi=0.2, unit="u")])
    then = items.changes(BUNDLE, first.sequence)
    assert (then.audits, then.removed, then.complete) == ([], ["a"], False)
    assert then.unaudited == {int(NOW): {"": 1}}
    assert items.counts(BUNDLE) == AuditCounts(drawn=2, replaced=2, labelled=0, expired=0)
    assert items.changes(BUNDLE, then.sequence).sequence == then.sequence


def test_two_workers_that_draw_the_same_unit_count_it_once(
    writers: list[RollingWindows], items: StoredItems
) -> None:
    writers[0].apply([decided("a", 0.5, pi=0.2, unit="u", at=-1)])
    writers[1].apply([decided("b", 0.4, pi=0.2, unit="u")])
    assert list(read(items).audits) == ["b"]
    assert items.counts(BUNDLE) == AuditCounts(drawn=2, replaced=1, labelled=0, expired=0)


def test_frames_without_units_are_items_of_their_own(
    writers: list[RollingWindows], items: StoredItems
) -> None:
    writers[0].apply([decided(f"r{n}", n / 9, answer=None if n % 3 == 0 else 1) for n in range(9)])
    changes = items.changes(BUNDLE, None)
    assert not changes.with_units
    assert changes.unaudited == {int(NOW): {"": 6}}
    assert changes.decided == {int(NOW): (9, 6)}


def test_a_label_counts_by_its_own_time(writers: list[RollingWindows], items: StoredItems) -> None:
    writers[0].apply([decided("a", 0.5, pi=1.0)])
    for label, wrong in (
        (labelled("a", 0, at=TIMES.wait + 0.1), None),
        (labelled("a", 0, at=TIMES.wait), True),
        (labelled("a", 1, at=5.0), True),
        (labelled("a", 2, at=TIMES.wait), True),
        (labelled("a", 1, at=TIMES.wait), True),
    ):
        writers[0].apply([label])
        assert read(items).audits["a"].wrong is wrong


def test_labels_that_overtake_their_prediction_are_weighed_when_it_comes(
    writers: list[RollingWindows], items: StoredItems
) -> None:
    """The last of them is too late, so the one before it counts."""
    writers[0].apply([labelled("a", 0, at=10), labelled("a", 1, at=20), labelled("a", 0, at=5000)])
    writers[1].apply([decided("a", 0.5, pi=1.0)])
    assert read(items).audits["a"] == AuditItem("a", None, NOW, 1.0, False, NOW + 20)


def test_a_flood_of_early_labels_is_bounded(
    writers: list[RollingWindows], valkey: EmbeddedValkey, model: str
) -> None:
    writers[0].apply([labelled("a", 0, at=float(n)) for n in range(500)])
    client = connect(valkey.url)
    assert client.hlen(f"{writers[0].prefix}parked:a") < 40
    client.close()


def test_the_first_look_and_a_lost_store_send_everything(
    private_valkey: Callable[[], EmbeddedValkey],
) -> None:
    client = connect(private_valkey().url)
    writer = RollingWindows(client, "m", items=TIMES)
    items = StoredItems(client, "m", TIMES, clock=lambda: NOW)
    nothing = items.changes(BUNDLE, None)
    assert (nothing.complete, nothing.audits, nothing.sequence) == (True, [], 0)
    events: list[Event] = [decided(f"r{n}", n / 700, pi=0.5 if n % 2 else None, at=-n) for n in range(700)]
    writer.apply(events)
    everything = items.changes(BUNDLE, nothing.sequence)
    assert everything.complete
    assert len(everything.audits) == 350
    assert not items.changes(BUNDLE, everything.sequence).complete
    client.flushall()
    writer.apply(events[::-1])
    again = items.changes(BUNDLE, everything.sequence)
    assert again.complete
    assert {item.request_id: item for item in again.audits} == {
        item.request_id: item for item in everything.audits
    }
    client.close()


def test_a_restarted_server_sends_everything_again(private_valkey: Callable[[], EmbeddedValkey]) -> None:
    """It may have lost its last changes and given their numbers to others."""
    server = private_valkey()
    items = StoredItems.at(server.url, "m", TIMES, sizes=REWARD_SIZES)
    client = connect(server.url)
    RollingWindows(client, "m", items=TIMES).apply([decided("a", 0.5, pi=1.0)])
    first = items.changes(BUNDLE, None)
    client.close()
    server.close()
    with pytest.raises(StoreUnavailable):
        items.changes(BUNDLE, first.sequence)
    private_valkey()
    assert items.changes(BUNDLE, first.sequence).complete
    assert not items.changes(BUNDLE, first.sequence).complete
    items.close()


class TestForgetting:
    """Items older than the wait and a day are final."""

    def test_old_minutes_go_when_new_ones_begin(self, valkey: EmbeddedValkey, model: str) -> None:
        client = connect(valkey.url)
        day = 86_400.0
        patient = RollingWindows(client, model, items=ItemTimes(wait=30 * day))
        patient.apply(
            [decided(f"old{n}", n / 9, pi=0.5, at=-8 * day - 60 * n, unit=f"u{n}") for n in range(6)]
        )
        patient.apply([decided("other", 0.5, pi=0.5, at=-8 * day, bundle="roadwork:2"), labelled("old0", 0)])
        patient.apply([decided("replaced", 0.9, pi=0.5, at=-8 * day, unit="v")])
        patient.apply([decided("replacing", 0.1, pi=0.5, at=-8 * day, unit="v")])
        items = StoredItems(client, model, TIMES, clock=lambda: NOW)
        assert len(read(items).audits) == 7
        usual = RollingWindows(client, model, items=TIMES)
        usual.apply([decided(f"new{n}", 0.5, pi=0.5, at=-60 * n) for n in range(3)])
        assert sorted(read(items).audits) == ["new0", "new1", "new2"]
        assert items.changes("roadwork:2", None).audits == []
        assert items.counts(BUNDLE) == AuditCounts(drawn=11, replaced=1, labelled=1, expired=6)
        assert client.zcard(f"{usual.prefix}items:changes:{BUNDLE}") == 6
        assert not client.keys(f"{usual.prefix}items:audits:roadwork:2:*")
        client.close()

    def test_a_frame_of_long_ago_is_no_item_any_more(
        self, writers: list[RollingWindows], items: StoredItems
    ) -> None:
        assert writers[0].apply([decided("old", 0.5, pi=0.5, at=-TIMES.kept - 10)]) == ["recorded"]
        assert read(items) == CountedItems({}, {}, {})
        assert items.counts(BUNDLE) == NO_COUNTS
        assert items.changes(BUNDLE, None).since == NOW - TIMES.kept

    def test_the_oldest_audits_go_first_when_there_are_too_many(
        self, private_valkey: Callable[[], EmbeddedValkey], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = connect(private_valkey().url)
        writer = RollingWindows(client, "m", items=TIMES)
        for script in (writer._predict, writer._label):
            monkeypatch.setattr(
                script, "text", script.text.replace("MOST_AUDITS = 250000", "MOST_AUDITS = 5")
            )
        for script in (writer._predict, writer._label):
            monkeypatch.setattr(script, "digest", client.script_load(script.text))
        writer.apply([decided(f"r{n}", 0.5, pi=0.5, at=60.0 * n - 3000) for n in range(20)])
        items = StoredItems(client, "m", TIMES, clock=lambda: NOW)
        changes = items.changes(BUNDLE, None)
        assert sorted(item.request_id for item in changes.audits) == [f"r{n}" for n in range(14, 20)]
        assert changes.since == 60 * ((NOW + 60 * 13 - 3000) // 60 + 1)
        client.close()


class TestWaiting:
    def test_pages_in_the_order_of_time_over_all_bundles(
        self, writers: list[RollingWindows], items: StoredItems
    ) -> None:
        frames = [
            decided(f"r{n}", n / 99, pi=0.5, at=-float(n // 3), unit=f"u{n}", bundle=f"roadwork:{n % 2}")
            for n in range(30)
        ]
        writers[0].apply([*frames, labelled("r4", 1), decided("old", 0.5, pi=0.5, at=-TIMES.wait - 1)])
        expected = sorted((one.at, one.request_id) for one in frames if one.request_id != "r4")
        found, after = [], None
        while True:
            page = items.waiting(None, after, 4)
            found += page.audits
            after = page.next
            if after is None:
                break
            assert len(page.audits) == 4
        assert [(audit.at, audit.request_id) for audit in found] == expected
        assert {(audit.request_id, audit.unit_id) for audit in found} == {
            (f"r{n}", f"u{n}") for n in range(30) if n != 4
        }
        assert Counter(audit.bundle for audit in found) == {"roadwork:0": 14, "roadwork:1": 15}
        only = items.waiting("roadwork:1", None, 100)
        assert {audit.bundle for audit in only.audits} == {"roadwork:1"}
        assert (len(only.audits), only.next) == (15, None)

    def test_many_answers_of_the_same_moment_are_paged(
        self, writers: list[RollingWindows], items: StoredItems
    ) -> None:
        writers[0].apply([decided(f"r{n:03}", n / 999, pi=0.5) for n in range(400)])
        page = items.waiting(BUNDLE, f"{NOW:.6f}_r349", 10)
        assert [audit.request_id for audit in page.audits] == [f"r{n}" for n in range(350, 360)]

    @pytest.mark.parametrize("after", ["", "x", "nan_r1", "12", "-5_r1", "inf_r1"])
    def test_a_cursor_of_no_page_is_refused(self, items: StoredItems, after: str) -> None:
        with pytest.raises(ValueError, match="must be the `next` of an earlier page"):
            items.waiting(None, after, 10)


def test_an_absent_store_says_so() -> None:
    items = StoredItems.at("redis://127.0.0.1:1", "m", TIMES, sizes=REWARD_SIZES)
    for call in (
        lambda: items.changes(BUNDLE, None),
        lambda: items.waiting(None, None, 1),
        lambda: items.counts(BUNDLE),
    ):
        with pytest.raises(StoreUnavailable):
            call()
    items.close()
