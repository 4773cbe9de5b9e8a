"""The Lua windows on a real Valkey, compared with an independent recount."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from river import metrics, utils

from monitoring.events import Event, FeedbackEvent, PredictionEvent, forced_label
from monitoring.store.connection import connect
from monitoring.store.contract import EventRefused, PositionLost, StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.windows.latest_labels import LatestLabels
from monitoring.windows.recount import Recount
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import TOTAL, RollingSnapshot

BUNDLE = "roadwork:1"


def predicted(request_id: str, label: int, *, answered: bool = True, at: float = 0.0) -> PredictionEvent:
    return PredictionEvent(
        request_id=request_id,
        bundle=BUNDLE,
        predicted=label,
        answer=label if answered else None,
        stage="A",
        confidence=1.0,
        probability=float(label),
        at=at,
    )


def labelled(request_id: str, label: int, at: float = 1.0) -> FeedbackEvent:
    return FeedbackEvent(request_id, label, at)


@dataclass(frozen=True)
class Counted:
    """Figures of one series, computed from scratch with river and plain arithmetic."""

    n: int
    accuracy: float | None
    mcc: float
    reward: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> Counted:
        """`pairs`: (predicted, label) in prediction order."""
        rolling = utils.Rolling(metrics.MCC, window_size=100)
        for guess, label in pairs:
            rolling.update(label, guess)
        last = pairs[-10:]
        accuracy = sum(p == y for p, y in last) / len(last) if last else None
        mcc = rolling.get() if pairs else 0.0
        reward = 0.0 if accuracy is None else (0.5 * max(0.0, mcc) + 0.5 * accuracy) ** 3
        return cls(min(100, len(pairs)), accuracy, mcc, reward)


def assert_agrees(
    snapshot: RollingSnapshot, events: Sequence[PredictionEvent], labels: dict[str, int]
) -> None:
    """`events` in the order in which they were made; `labels`: the final ones."""
    known = [event for event in events if event.request_id in labels]
    forced = Counted.of([(event.predicted, labels[event.request_id]) for event in known])
    answered = Counted.of(
        [(event.answer, labels[event.request_id]) for event in known if event.answer is not None]
    )
    for series, recount in ((snapshot.all, forced), (snapshot.answered, answered)):
        assert series.mcc.n == recount.n
        assert series.acc.n == min(10, recount.n)
        assert series.acc.accuracy.value == recount.accuracy
        assert series.mcc.mcc.value == pytest.approx(recount.mcc, abs=1e-12)
        assert series.reward == pytest.approx(recount.reward, abs=1e-12)
    assert snapshot.predictions == len(events)
    assert snapshot.labelled == len(known)


def test_labels_in_any_order_give_the_recount(windows: RollingWindows) -> None:
    rng = np.random.default_rng(7)
    events = [
        predicted(f"r{i}", int(rng.random() < 0.4), answered=bool(rng.random() < 0.7), at=float(i))
        for i in range(400)
    ]
    windows.apply(events)
    labels = {
        event.request_id: event.predicted if rng.random() < 0.85 else 1 - event.predicted for event in events
    }
    order = rng.permutation(400)
    for count, chunk in enumerate(np.array_split(order, 8), start=1):
        windows.apply([labelled(f"r{i}", labels[f"r{i}"]) for i in chunk])
        so_far = {f"r{i}": labels[f"r{i}"] for part in np.array_split(order, 8)[:count] for i in part}
        assert_agrees(windows.snapshot(BUNDLE), events, so_far)


_STEPS = st.lists(st.integers(0, 2 * 2 * 2 * 6 * 121 - 1), min_size=200, max_size=420)
"""One integer per step: prediction or label, its value, answered or not, its time, and one of 121 ids."""


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_any_history_gives_the_recount(valkey: EmbeddedValkey, steps: list[int]) -> None:
    """Repeated predictions, early, late, repeated, corrected and stale labels, in any mixture."""
    client = connect(valkey.url)
    client.flushall()
    windows = RollingWindows(client, "any")
    events: dict[str, PredictionEvent] = {}
    held: dict[str, tuple[int, int]] = {}
    for made, step in enumerate(steps):
        rest, is_prediction = divmod(step, 2)
        rest, label = divmod(rest, 2)
        rest, answered = divmod(rest, 2)
        number, at = divmod(rest, 6)
        request_id = f"r{number}"
        if is_prediction:
            event = predicted(request_id, label, answered=bool(answered), at=float(made))
            (outcome,) = windows.apply([event])
            assert (outcome == "repeated") == (request_id in events)
            events.setdefault(request_id, event)
        else:
            (outcome,) = windows.apply([labelled(request_id, label, at)])
            before = held.get(request_id)
            newest = before is None or (at, label) >= (before[1], before[0])
            if before is not None and before[0] == label:
                assert outcome == "duplicate"
            elif not newest:
                assert outcome == "stale"
            elif before is not None:
                assert outcome == "corrected"
            else:
                assert outcome == ("ok" if request_id in events else "unknown")
            if newest:
                held[request_id] = (label, at)
    assert_agrees(
        windows.snapshot(BUNDLE), list(events.values()), {key: label for key, (label, _) in held.items()}
    )
    client.close()


def test_the_order_of_arrival_does_not_matter(valkey: EmbeddedValkey, model: str) -> None:
    """The events of one worker may be delivered long after those of another: the windows are the same."""
    rng = np.random.default_rng(2)
    events = [
        predicted(f"r{i}", int(rng.random() < 0.5), answered=bool(rng.random() < 0.8), at=1e9 + i / 7)
        for i in range(300)
    ]
    labels = [labelled(f"r{i}", int(rng.random() < 0.5), at=1e9 + 60 + i) for i in rng.permutation(300)[:250]]
    every: list[Event] = [*events, *labels]
    client = connect(valkey.url)
    snapshots = []
    for number in range(4):
        windows = RollingWindows(client, f"{model}-{number}")
        windows.apply(every)
        snapshots.append(windows.snapshot(BUNDLE).to_dict())
        rng.shuffle(every)  # type: ignore[arg-type]
    assert all(snapshot == snapshots[0] for snapshot in snapshots[1:])
    assert_agrees(
        RollingWindows(client, f"{model}-0").snapshot(BUNDLE),
        events,
        {label.request_id: label.label for label in labels},
    )
    client.close()


def test_a_repeated_event_after_its_hash_has_expired_is_not_counted_twice(
    valkey: EmbeddedValkey, model: str
) -> None:
    client = connect(valkey.url)
    windows = RollingWindows(client, model)
    events: list[Event] = [predicted("r", 1, at=5.0), labelled("r", 0), labelled("r", 1, at=2.0)]
    windows.apply(events)
    client.delete(f"{windows.prefix}prediction:r")
    windows.apply(events)
    assert windows.snapshot(BUNDLE).all.mcc.cells == {(1, 1): 1}
    client.close()


def test_the_store_keeps_the_position_of_each_log(valkey: EmbeddedValkey, model: str) -> None:
    client = connect(valkey.url)
    windows = RollingWindows(client, model)
    assert windows.position("log") is None
    assert windows.apply_from_log("log", [predicted("a", 1)], None, "1:10") == ["recorded"]
    assert windows.apply_from_log("log", [labelled("a", 1)], "1:10", "1:20") == ["ok"]
    # Repeated, because the answer did not arrive.
    assert windows.apply_from_log("log", [labelled("a", 1)], "1:10", "1:20") == ["duplicate"]
    assert windows.position("log") == "1:20"
    assert windows.position("other") is None
    with pytest.raises(PositionLost):
        windows.apply_from_log("log", [predicted("b", 1)], "1:10", "1:30")
    assert windows.position("log") == "1:20"
    client.delete(f"{windows.prefix}logs")
    with pytest.raises(PositionLost):
        windows.apply_from_log("log", [predicted("c", 1)], "1:20", "1:30")
    assert windows.position("log") is None
    assert windows.snapshot(BUNDLE).predictions == 3
    client.close()


def test_label_coverage_beyond_the_predictions_that_are_kept(
    valkey: EmbeddedValkey, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.windows.rolling._RECENT", 20)
    client = connect(valkey.url)
    # The reward's window of 100 is the largest, so that many predictions are kept.
    windows = RollingWindows(client, model)
    windows.apply([predicted(f"r{i}", 1, at=float(i)) for i in range(150)])
    windows.apply([labelled("r149", 1), labelled("r145", 1)])
    assert windows.snapshot(BUNDLE).label_coverage == pytest.approx(2 / 5)
    windows.apply([labelled("r0", 1)])
    assert windows.snapshot(BUNDLE).label_coverage == pytest.approx(3 / 150)
    client.close()


def test_a_late_label_does_not_push_out_fresh_ones(windows: RollingWindows) -> None:
    windows.apply([predicted(f"r{i}", 1, at=float(i)) for i in range(30)])
    windows.apply([labelled(f"r{i}", 1) for i in range(15, 30)])
    windows.apply([labelled(f"r{i}", 0) for i in range(15)])
    snapshot = windows.snapshot(BUNDLE)
    assert snapshot.all.acc.accuracy.value == 1.0
    assert snapshot.all.mcc.cells == {(1, 1): 15, (1, 0): 15}


def test_a_prediction_that_left_the_window_is_corrected_without_a_trace(windows: RollingWindows) -> None:
    windows.apply([predicted(f"r{i}", 1, at=float(i)) for i in range(120)])
    windows.apply([labelled(f"r{i}", 1) for i in range(120)])
    assert windows.apply([labelled("r0", 0, at=2.0)]) == ["corrected"]
    assert windows.snapshot(BUNDLE).all.mcc.cells == {(1, 1): 100}
    assert windows.apply([labelled("r119", 0, at=2.0)]) == ["corrected"]
    assert windows.snapshot(BUNDLE).all.mcc.cells == {(1, 1): 99, (1, 0): 1}


def test_each_bundle_has_windows_of_its_own(windows: RollingWindows) -> None:
    second = replace(predicted("b", 0), bundle="roadwork:2", at=5.0)
    windows.apply([predicted("a", 1), second, labelled("a", 1), labelled("b", 1)])
    assert windows.snapshot(BUNDLE).all.acc.accuracy.value == 1.0
    assert windows.snapshot("roadwork:2").all.acc.accuracy.value == 0.0
    assert windows.bundles() == [BUNDLE, "roadwork:2"]


def test_an_empty_window_says_so(windows: RollingWindows) -> None:
    snapshot = windows.snapshot("never:0")
    assert snapshot.all.acc.accuracy.value is None
    assert (snapshot.all.acc.accuracy.low, snapshot.all.acc.accuracy.high) == (0.0, 1.0)
    assert snapshot.all.mcc.mcc.value == 0.0
    assert snapshot.all.mcc.mcc.reason == "no labelled prediction yet"
    assert snapshot.all.reward == 0.0
    assert snapshot.label_coverage is None
    assert snapshot.label_lag(0.5) is None


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(0, 1), (1, 1)], "every label in the window is 1"),
        ([(0, 1), (0, 0)], "every prediction in the window is 0"),
        ([(1, 1), (0, 0)], None),
    ],
)
def test_a_zero_mcc_says_why(
    windows: RollingWindows, pairs: list[tuple[int, int]], reason: str | None
) -> None:
    windows.apply([predicted(f"r{i}", guess) for i, (guess, _) in enumerate(pairs)])
    windows.apply([labelled(f"r{i}", label) for i, (_, label) in enumerate(pairs)])
    window = windows.snapshot(BUNDLE).all.mcc
    assert window.mcc.reason == reason
    assert window.mcc.value == (1.0 if reason is None else 0.0)


def test_coverage_and_lag_of_the_labels(windows: RollingWindows) -> None:
    windows.apply([predicted(f"r{i}", 1, at=100.0 + i) for i in range(10)])
    windows.apply([labelled("r4", 1, at=164.0), labelled("r8", 1, at=110.0)])
    snapshot = windows.snapshot(BUNDLE)
    assert snapshot.label_coverage == pytest.approx(2 / 6)
    assert snapshot.lags == (60.0, 2.0)
    assert snapshot.label_lag(0.5) == 2.0
    assert snapshot.label_lag(0.95) == 60.0


def test_a_label_ahead_of_its_prediction_has_no_negative_lag(windows: RollingWindows) -> None:
    assert windows.apply([labelled("r", 1, at=1.0), predicted("r", 1, at=3.0)]) == ["unknown", "joined"]
    assert windows.snapshot(BUNDLE).lags == (0.0,)


def test_waiting_predictions_and_parked_labels_expire(valkey: EmbeddedValkey, model: str) -> None:
    client = connect(valkey.url)
    windows = RollingWindows(client, model, prediction_ttl=3600, parked_ttl=60)
    windows.apply([predicted("r", 1), labelled("early", 0)])
    prefix = windows.prefix
    assert 0 < client.ttl(f"{prefix}prediction:r") <= 3600
    assert 0 < client.ttl(f"{prefix}parked:early") <= 60
    # The window itself does not expire.
    windows.apply([labelled("r", 1)])
    assert client.ttl(f"{prefix}window:{BUNDLE}:all") == -1
    client.close()


def test_all_keys_of_a_model_share_its_hash_tag(
    valkey: EmbeddedValkey, model: str, windows: RollingWindows
) -> None:
    client = connect(valkey.url)
    before = set(client.keys())
    windows.apply([predicted("r", 1), labelled("r", 1), labelled("early", 1)])
    fresh = set(client.keys()) - before
    assert len(fresh) >= 8
    assert all(key.startswith(f"demur:{{{model}}}:".encode()) for key in fresh)
    client.close()


def test_a_store_that_forgot_the_scripts_gets_them_again(
    valkey: EmbeddedValkey, windows: RollingWindows
) -> None:
    windows.apply([predicted("r", 1)])
    client = connect(valkey.url)
    client.script_flush()
    client.close()
    assert windows.apply([labelled("r", 1)]) == ["ok"]


def test_an_event_that_the_store_refuses_does_not_hold_up_the_others(
    valkey: EmbeddedValkey, model: str, windows: RollingWindows
) -> None:
    client = connect(valkey.url)
    client.set(f"{windows.prefix}prediction:bad", "not a hash")
    client.close()
    outcomes = windows.apply([predicted("good", 1), predicted("bad", 1), labelled("good", 1)])
    assert outcomes[0] == "recorded"
    assert isinstance(outcomes[1], EventRefused)
    assert outcomes[2] == "ok"


def test_more_than_two_classes(windows: RollingWindows) -> None:
    rng = np.random.default_rng(3)
    pairs = [(int(p), int(y)) for p, y in rng.integers(0, 12, size=(60, 2))] + [(k, k) for k in range(12)] * 3
    windows.apply([predicted(f"r{i}", guess, at=float(i)) for i, (guess, _) in enumerate(pairs)])
    windows.apply([labelled(f"r{i}", label) for i, (_, label) in enumerate(pairs)])
    window = windows.snapshot(BUNDLE).all.mcc
    matrix = np.zeros((12, 12))
    for guess, label in pairs[-100:]:
        matrix[label, guess] += 1
    n, trace = matrix.sum(), np.trace(matrix)
    true, guessed = matrix.sum(1), matrix.sum(0)
    expected = (trace * n - true @ guessed) / math.sqrt((n * n - guessed @ guessed) * (n * n - true @ true))
    assert window.mcc.value == pytest.approx(expected, abs=1e-12)


def test_forced_label_at_exactly_one_half_is_the_negative() -> None:
    assert forced_label((0.5, 0.5)) == 0
    assert forced_label((0.4999, 0.5001)) == 1
    assert forced_label((0.2, 0.5, 0.3)) == 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, seed=st.integers(0, 2**32 - 1))
def test_windows_of_any_size_agree_with_a_recount_in_any_order(
    valkey: EmbeddedValkey, steps: list[int], seed: int
) -> None:
    """Several bundles, a shadow among them, and every kind of label, delivered in a random order."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for made, step in enumerate(steps):
        rest, is_prediction = divmod(step, 2)
        rest, label = divmod(rest, 2)
        rest, answered = divmod(rest, 2)
        number, at = divmod(rest, 6)
        shadow = number % 5 == 0
        request_id = f"r{number}~s" if shadow else f"r{number}"
        if is_prediction:
            event = predicted(request_id, label, answered=bool(answered), at=float(made // 3))
            bundle = "roadwork:s" if shadow else f"roadwork:{number % 2}"
            # A repeated prediction is the same one: a retry has the id of the request.
            if all(one.request_id != request_id or isinstance(one, FeedbackEvent) for one in events):
                events.append(replace(event, bundle=bundle, stage="AB"[answered]))
        else:
            # Some are too late, and some too early.
            events.append(labelled(request_id, label, at=made // 3 + (at - 2) * 40.0))
    events += [events[index] for index in rng.integers(len(events), size=20)]
    rng.shuffle(events)  # type: ignore[arg-type]
    client = connect(valkey.url)
    client.flushall()
    windows = RollingWindows(client, "m", sizes=(3, 25), prediction_ttl=100, parked_ttl=50)
    windows.apply(events)
    recount = Recount(LatestLabels(prediction_ttl=100, parked_ttl=50))
    recount.add(events)
    assert recount.compare(windows.snapshots(recount.scopes())).differences == []
    client.close()


class TestSizes:
    def test_up_to_six_and_those_of_the_reward(self, valkey: EmbeddedValkey, model: str) -> None:
        client = connect(valkey.url)
        windows = RollingWindows(client, model, sizes=(1000, 1, 5, 20, 50, 200))
        windows.apply([predicted(f"r{i}", 1, at=float(i)) for i in range(300)])
        windows.apply([labelled(f"r{i}", int(i % 4 > 0)) for i in range(300)])
        snapshot = windows.snapshot(BUNDLE)
        shown = {window["size"]: window["all"]["n"] for window in snapshot.to_dict()["windows"]}
        assert shown == {1: 1, 5: 5, 20: 20, 50: 50, 200: 200, 1000: 300}
        assert (snapshot.all.acc.size, snapshot.all.mcc.size) == (10, 100)
        assert snapshot.all.windows[20].accuracy.value == 0.75
        client.close()

    def test_other_sizes_are_another_store(self, valkey: EmbeddedValkey, model: str) -> None:
        """So the position of each log is unknown, and the log is delivered again."""
        client = connect(valkey.url)
        first = RollingWindows(client, model, sizes=(10, 100))
        first.apply_from_log("log", [predicted("a", 1), labelled("a", 1)], None, "1:10")
        second = RollingWindows(client, model, sizes=(10, 50))
        assert second.position("log") is None
        assert second.snapshot(BUNDLE).predictions == 0
        same = RollingWindows(client, model, sizes=(100, 10))
        assert same.position("log") == "1:10"
        client.close()

    def test_windows_that_no_service_uses_any_more_are_deleted(
        self, valkey: EmbeddedValkey, model: str
    ) -> None:
        client = connect(valkey.url)
        old, new = (RollingWindows(client, model, sizes=(size,)) for size in (5, 7))
        for windows in (old, new):
            windows.apply_from_log("log", [predicted("a", 1), labelled("a", 1)], None, "1:10")
        assert new.discard_unused() == []
        # As if they had been used a year ago.
        client.hset(new._in_use, "5,10,100", round(time.time()) - 366 * 86_400)
        assert new.discard_unused() == ["5,10,100"]
        assert client.keys(f"{old.prefix}*") == []
        assert new.snapshot(BUNDLE).predictions == 1
        assert new.discard_unused() == []
        client.close()

    @pytest.mark.parametrize("sizes", [(), (0,), (10, -1)])
    def test_a_size_below_one_is_refused(self, sizes: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=re.escape(f"sizes is {sizes!r}")):
            RollingWindows(connect("redis://127.0.0.1:1"), "m", sizes=sizes)


def test_the_total_holds_every_bundle_but_no_shadow(windows: RollingWindows) -> None:
    second = replace(predicted("b", 0, at=5.0), bundle="roadwork:2")
    shadow = replace(predicted("b~v", 1, at=6.0), bundle="shadow:1")
    windows.apply([predicted("a", 1), second, shadow])
    windows.apply([labelled("a", 1), labelled("b", 1, at=6.0), labelled("b~v", 1, at=7.0)])
    total, own, of_shadow = windows.snapshots([TOTAL, BUNDLE, "shadow:1"])
    assert (total.predictions, total.labelled) == (2, 2)
    assert total.all.acc.accuracy.value == 0.5
    assert total.lags == (1.0, 1.0)
    assert (own.predictions, of_shadow.predictions) == (1, 1)
    assert of_shadow.all.acc.accuracy.value == 1.0


def test_coverage_and_stage_b_count_the_unlabelled_too(windows: RollingWindows) -> None:
    events = [predicted(f"r{i}", 1, answered=i % 4 > 0, at=float(i)) for i in range(60)]
    windows.apply([replace(event, stage="B" if event.at >= 55 else "A") for event in events])
    snapshot = windows.snapshot(BUNDLE)
    assert snapshot.decided[100].n == 60
    assert snapshot.decided[100].coverage.value == 0.75
    assert snapshot.decided[10].stage_b.value == 0.5
    assert snapshot.all.mcc.n == 0


def test_a_label_that_is_too_late_or_too_early_does_not_count(valkey: EmbeddedValkey, model: str) -> None:
    client = connect(valkey.url)
    windows = RollingWindows(client, model, prediction_ttl=100, parked_ttl=10)
    late, early = labelled("r", 0, at=1101.0), labelled("r", 0, at=989.0)
    assert windows.apply([predicted("r", 1, at=1000.0), labelled("r", 1, at=1100.0), late, early]) == [
        *("recorded", "ok", "expired", "expired"),
    ]
    other_order = [
        *(replace(late, request_id="s"), replace(early, request_id="s"), labelled("s", 1, at=1100.0)),
        predicted("s", 1, at=1000.0),
    ]
    assert windows.apply(other_order)[-1] == "joined"
    assert windows.snapshot(BUNDLE).all.mcc.cells == {(1, 1): 2}
    client.close()


def test_a_flood_of_labels_for_an_unknown_id_takes_bounded_memory(windows: RollingWindows) -> None:
    windows.apply([labelled("r", i % 2, at=float(i)) for i in range(500)])
    client = windows._client
    assert client.hlen(f"{windows.prefix}parked:r") == 32
    windows.apply([predicted("r", 1, at=499.0)])
    assert windows.snapshot(BUNDLE).all.mcc.cells == {(1, 1): 1}


_WRITER = """
import json, sys
from monitoring.store.connection import connect
from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.windows.rolling import RollingWindows
url, model, events = json.load(sys.stdin)
events = [(PredictionEvent if "bundle" in event else FeedbackEvent)(**event) for event in events]
windows = RollingWindows(connect(url), model)
for start in range(0, len(events), 7):
    windows.apply(events[start : start + 7])
"""


def test_four_processes_write_at_once(valkey: EmbeddedValkey, model: str) -> None:
    """Duplicates, shuffled and early labels from four writers; the order of the predictions counts."""
    draws = 4000 if os.environ.get("DEMUR_SLOW") else 800
    rng = np.random.default_rng(11)
    events = [
        predicted(f"r{i}", int(rng.random() < 0.5), answered=bool(rng.random() < 0.8), at=float(i))
        for i in range(draws)
    ]
    labels = {f"r{i}": int(rng.random() < 0.5) for i in rng.permutation(draws)[: draws * 3 // 4]}
    shares: list[list[Event]] = [[], [], [], []]
    for event in events:
        for copy in range(1 + int(rng.random() < 0.2)):
            shares[(int(rng.integers(4)) + copy) % 4].append(event)
    for request_id, label in labels.items():
        for copy in range(1 + int(rng.random() < 0.3)):
            # The right label, also repeated; below, a wrong one that the right one replaces.
            shares[int(rng.integers(4))].append(labelled(request_id, label, at=2.0 + copy))
        if rng.random() < 0.2:
            shares[int(rng.integers(4))].append(labelled(request_id, 1 - label, at=1.0))
    for share in shares:
        rng.shuffle(share)  # type: ignore[arg-type]
    writers = [
        subprocess.Popen([sys.executable, "-P", "-c", _WRITER], stdin=subprocess.PIPE, text=True)
        for _ in shares
    ]
    for writer, share in zip(writers, shares, strict=True):
        assert writer.stdin is not None
        json.dump([valkey.url, model, [asdict(event) for event in share]], writer.stdin)
        writer.stdin.close()
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    client = connect(valkey.url)
    assert_agrees(RollingWindows(client, model).snapshot(BUNDLE), events, labels)
    client.close()


class TestErrors:
    def test_every_call_to_an_absent_store_says_so(self) -> None:
        away = RollingWindows.at("redis://127.0.0.1:1", "m")
        calls: list[Callable[[], object]] = [
            away.ping,
            away.bundles,
            lambda: away.snapshot(BUNDLE),
            lambda: away.position("log"),
            lambda: away.apply([predicted("r", 1)]),
            lambda: away.apply_from_log("log", [predicted("r", 1)], None, "1:10"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable, match="refused"):
                call()
        away.close()

    def test_a_store_in_trouble_is_unavailable(self, private_valkey: Callable[[], EmbeddedValkey]) -> None:
        client = connect(private_valkey().url)
        windows = RollingWindows(client, "m")
        windows.apply([predicted("a", 1)])
        client.config_set("maxmemory", "1")
        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(StoreUnavailable, match="memory"):
            windows.apply([predicted("b", 1)])
        client.close()

    def test_an_event_that_cannot_be_sent_is_refused_before_the_others(self, windows: RollingWindows) -> None:
        bad = FeedbackEvent("b", [1], 1.0)  # type: ignore[arg-type]
        with pytest.raises(EventRefused, match=r"must be str, int, float or bytes|Invalid input of type"):
            windows.apply([predicted("a", 1), bad])
        assert windows.snapshot(BUNDLE).predictions == 0
