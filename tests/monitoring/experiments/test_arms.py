"""Arms as the event logs tell them, against a count by hand over all events at once."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.experiments.arms import ArmTable
from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.experiments.arms import ArmReader, ArmSums, unit_of
from monitoring.experiments.decided import Decided, DecidedRequests, LabelTimes
from monitoring.experiments.definition import Arm, Definition, Note, Stratum
from monitoring.experiments.unit_rows import UnitRows
from monitoring.windows.latest_labels import LatestLabels

AT = 1_800_000_000.0
ARMS = ("control", "two:1", "three:1")
NOTE = Note(AT, "Ada", "a try")
DEFINITION = Definition(
    "ramp",
    "salt",
    Arm("one:1", "/one"),
    (Arm("two:1", "/two"), Arm("three:1", "/three")),
    (Stratum(NOTE, {"two:1": 0.25}, ()), Stratum(NOTE, {"two:1": 0.5}, (), ("three:1",))),
    NOTE,
    "/one",
)


def decided(name: str, number: float = 0, **fields: Any) -> PredictionEvent:
    values: dict[str, Any] = {"predicted": 1, "answer": 1, "stage": "A", "confidence": 1.0}
    given: dict[str, Any] = {"experiment": "ramp", "arm": "control", "stratum": 0, "seconds": 0.1}
    return PredictionEvent(name, "one:1", probability=0.9, at=AT + number, **{**values, **given, **fields})


def summed(*events: Event, slow: float = 0.5) -> ArmSums:
    sums = ArmSums("ramp", slow)
    sums.know(ARMS)
    sums.add(events)
    return sums


def table(sums: ArmSums) -> ArmTable:
    found = sums.table(DEFINITION)
    assert found is not None
    return found


def test_a_unit_is_one_row_per_stratum() -> None:
    found = table(
        summed(
            decided("a", 5, unit_id="cam1"),
            decided("b", 3, unit_id="cam1", answer=None, reason="ambiguous"),
            decided("c", 9, unit_id="cam1", stratum=1, arm="two:1"),
            decided("d", 1, dealt="batch"),
            decided("e", 2, dealt="batch"),
            decided("f", 4),
        )
    )
    assert found.arms == ARMS
    assert found.shares.tolist() == [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]]
    assert found.unit.tolist() == [0, 0, 1, 2]
    assert (found.arm.tolist(), found.stratum.tolist()) == ([0, 1, 0, 0], [0, 1, 0, 0])
    assert (found.first_at - AT).tolist() == [3, 9, 1, 4]
    assert (found.requests.tolist(), found.answered.tolist()) == ([2, 1, 2, 1], [1, 1, 2, 1])


def test_a_request_that_is_sent_again_counts_once() -> None:
    assert table(summed(decided("a"), decided("a", 1))).requests.tolist() == [1]


def test_events_of_other_experiments_and_of_none_are_left_out() -> None:
    sums = summed(
        decided("a", experiment=None, arm=None, stratum=None),
        decided("b", experiment="other"),
        decided("c", arm="four:1"),
        decided("d", stratum=9),
    )
    assert sums.table(DEFINITION) is None
    assert sums.unknown == 1


def test_a_label_that_is_late_early_or_corrected() -> None:
    events = [
        FeedbackEvent("early", 0, AT - 3),
        decided("early"),
        decided("late", predicted=0, answer=0),
        FeedbackEvent("late", 1, AT + 10),
        FeedbackEvent("late", 0, AT + 30),
        FeedbackEvent("late", 1, AT + 20),
        decided("never"),
        FeedbackEvent("never", 1, AT + 8 * 86_400),
        FeedbackEvent("never", 1, AT - 2 * 86_400),
    ]
    found = table(summed(*events))
    assert found.confusion.tolist() == [[[0, 1], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]]
    assert found.label_lag[:2].tolist() == [0.0, 30.0]
    assert np.isnan(found.label_lag[2])


def test_audits_are_weighted_by_their_probability() -> None:
    events = [
        decided("a", unit_id="u", audit=True, audit_probability=0.25),
        decided("b", unit_id="u", audit=True, audit_probability=0.5),
        decided("c", unit_id="u", audit=True, audit_probability=0.1),
        decided("d", unit_id="u"),
        FeedbackEvent("a", 0, AT + 1),
        FeedbackEvent("b", 1, AT + 1),
        FeedbackEvent("d", 0, AT + 1),
    ]
    found = table(summed(*events))
    assert (found.audits.tolist(), found.audited.tolist(), found.audited_wrong.tolist()) == (
        [2],
        [6.0],
        [4.0],
    )
    assert found.labelled.tolist() == [3]


def test_times_and_failures() -> None:
    failure = FailureEvent("z", "one:1", "deadline-passed", AT, "u", "ramp", "two:1", 0)
    sums = summed(
        decided("a", unit_id="v", seconds=0.6),
        decided("b", unit_id="v", seconds=0.4),
        decided("c", unit_id="v", seconds=None),
        failure,
        replace(failure, request_id="y"),
    )
    columns = {name: sums.rows.columns().column(name, 3, 2).tolist() for name in ("timed", "slow", "failed")}
    assert columns == {"timed": [2, 0], "slow": [1, 0], "failed": [0, 2]}
    # A unit that has only failed was dealt to its arm all the same.
    assert table(sums).arm.tolist() == [0, 1]


def test_a_unit_in_two_arms_of_one_stratum_is_counted_as_a_fault() -> None:
    sums = summed(decided("a", unit_id="u"), decided("b", unit_id="u", arm="two:1"))
    assert (table(sums).requests.tolist(), sums.rows.crossed) == ([1], 1)


def test_pairs_of_a_shadow_follow_the_labels() -> None:
    shadow = {"arm": "three:1", "stratum": 1, "seconds": None}
    sums = summed(
        decided("a", unit_id="u", stratum=1),
        decided("a~1", 1, unit_id="u", predicted=0, **shadow),
        decided("a~1", 2, unit_id="u", predicted=0, **shadow),
        decided("b", unit_id="u", stratum=1, arm="two:1"),
        decided("b~1", 1, unit_id="u", **shadow),
        decided("c", unit_id="w", stratum=1),
        FeedbackEvent("c", 1, AT + 1),
        FeedbackEvent("c~1", 1, AT + 1),
        decided("c~1", 1, unit_id="w", **shadow),
        FeedbackEvent("a", 1, AT + 5),
    )
    assert sums.pairs("two:1") is None
    assert pairs(sums) == [[0, 1, 0, 0], [1, 0, 0, 0]]
    sums.add([FeedbackEvent("a", 0, AT + 6)])
    assert pairs(sums) == [[0, 0, 1, 0], [1, 0, 0, 0]]


def pairs(sums: ArmSums) -> list[list[int]]:
    found = sums.pairs("three:1")
    assert found is not None
    columns = (found.both_right, found.only_control, found.only_shadow, found.both_wrong)
    return sorted(map(list, np.stack(columns, axis=1).tolist()))


@given(seed=st.integers(0, 2**32))
def test_any_order_of_labels_gives_the_count_by_hand(seed: int) -> None:
    draw = random.Random(seed)
    predictions = [
        decided(
            f"r{number}",
            number,
            unit_id=f"u{draw.randrange(5)}",
            arm=None,
            predicted=draw.randrange(2),
            answer=draw.choice([None, 1]),
            audit=draw.random() < 0.5,
            audit_probability=0.5,
            stratum=draw.randrange(2),
        )
        for number in range(20)
    ]
    predictions = [replace(one, arm=ARMS[hash((one.unit_id, one.stratum)) % 2]) for one in predictions]
    labels = [
        FeedbackEvent(f"r{draw.randrange(20)}", draw.randrange(2), AT + draw.randrange(40)) for _ in range(40)
    ]
    events: list[Event] = [*predictions, *labels]
    draw.shuffle(events)
    held = LatestLabels()
    held.add(labels)
    found = table(summed(*events))
    for row in range(len(found)):
        own = [
            one
            for one in predictions
            if (ARMS.index(one.arm or ""), one.stratum) == (found.arm[row], found.stratum[row])
            and one.at >= found.first_at[row]
            and unit_of(one) == unit_of(min(predictions, key=lambda each: abs(each.at - found.first_at[row])))
        ]
        known = [(one, label) for one in own if (label := held.of(one)) is not None]
        assert found.requests[row] == len(own)
        assert found.answered[row] == sum(one.answer is not None for one in own)
        assert found.labelled[row] == len(known)
        assert found.right[row] == sum(one.predicted == label.label for one, label in known)
        audits = [(one, label) for one, label in known if one.audit and one.answer is not None]
        assert found.audited[row] == 2 * len(audits)
        assert found.audited_wrong[row] == 2 * sum(one.predicted != label.label for one, label in audits)
        if known:
            lags = [max(0.0, label.at - one.at) for one, label in known]
            assert found.label_lag[row] == pytest.approx(sum(lags) / len(lags))


def test_logs_are_read_once_and_further(tmp_path: Path) -> None:
    logs = [EventLog.claim(tmp_path / "events" / "m", LogBounds()) for _ in range(2)]
    sums = ArmSums("ramp", 0.5)
    sums.know(ARMS)
    reader = ArmReader([tmp_path / "events" / "m"], sums)
    assert reader.read() == 0
    logs[0].append([decided("a", 1), FeedbackEvent("b", 1, AT + 3)])
    logs[1].append([decided("b", 2, arm="two:1")])
    assert reader.read() == 3
    assert table(sums).labelled.tolist() == [0, 1]
    later = EventLog.claim(tmp_path / "events" / "m", LogBounds())
    later.append([decided("c", 4)])
    logs[0].append([FeedbackEvent("a", 1, AT + 5)])
    assert (reader.read(), reader.read()) == (2, 0)
    assert table(sums).labelled.tolist() == [1, 1, 0]
    for log in (*logs, later):
        log.close()


def test_memory_is_bounded() -> None:
    requests = DecidedRequests(3, 2)
    for number in range(9):
        assert requests.add(number, Decided(number, AT, 1, 0.0, None, 0.0)) == []
    assert [number in requests for number in range(9)] == [False] * 6 + [True] * 3
    assert requests.get(8) == Decided(8, AT, 1, 0.0, None, 0.0)
    assert requests.get(2) is None
    for number in (20, 21, 22):
        requests.park(number, AT, 1)
    assert requests.add(20, Decided(0, AT, 1, 0.0, None, 0.0)) == []
    assert requests.add(22, Decided(0, AT, 1, 0.0, None, 0.0)) == [(AT, 1)]
    rows = UnitRows(2)
    assert [rows.row(unit, 0, 0, AT) for unit in ("u" * 10_000, "b", "c", "b")] == [0, 1, None, 1]
    assert rows.left_out == 1


def test_labels_count_within_the_times_of_the_windows() -> None:
    times = LabelTimes(10.0, 5.0)
    assert [times.holds(100.0, at) for at in (94.9, 95.0, 110.0, 110.1)] == [False, True, True, False]
