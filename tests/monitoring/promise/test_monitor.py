"""The monitor of a bundle: its values against the detectors, whatever order the events came in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes.item_streams import Answered, changes, in_pieces, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import e_detector, risk_interval
from calibration.sequential import AuditSums, worse_detector
from calibration.sequential.baseline import AUDITS
from monitoring.promise.chunk import SECONDS
from monitoring.promise.monitor import MARGIN, Base, BundleMonitor
from monitoring.promise.reading import Reading, SignalReading
from monitoring.promise.terms import PromiseTerms, WatchOptions

TERMS = PromiseTerms("tiny:1", "promised", 0.01, coverage=0.7)
OPTIONS = WatchOptions(share=1.0)
LATER = 1_000_000.0 + 300_000.0
WAIT = OPTIONS.wait


def monitor(terms: PromiseTerms = TERMS, options: WatchOptions = OPTIONS) -> BundleMonitor:
    return BundleMonitor(terms, options)


def signal(reading: Reading, name: str, part: str = "") -> SignalReading:
    (found,) = [one for one in reading.signals if (one.signal, one.part) == (name, part)]
    return found


def read(items: list[Answered], options: WatchOptions = OPTIONS, now: float = LATER) -> Reading:
    one = monitor(options=options)
    one.apply(changes(items, complete=True))
    return one.read(now)


def test_all_audited_is_the_e_detector() -> None:
    items = stream(3_000, 0.02, 1)
    values = e_detector(np.array([item.wrong for item in items]), 0.01)
    reading = signal(read(items), "broken")
    assert reading.e_value == pytest.approx(values[-1], rel=1e-12)
    assert reading.peak == pytest.approx(values.max(), rel=1e-12)


def test_audits_by_a_share_are_the_e_detector_over_every_item() -> None:
    options = replace(OPTIONS, share=0.25)
    items = stream(4_000, 0.03, 2, share=0.25)
    wrong, audited = (np.array([getattr(item, name) for item in items]) for name in ("wrong", "audited"))
    values = e_detector(wrong, 0.01, audited=audited, share=0.25)
    reading = read(items, options)
    assert signal(reading, "broken").e_value == pytest.approx(values[-1], rel=1e-12)
    assert (reading.images, reading.audits) == (4_000, audited.sum())
    expected = risk_interval(wrong, audited=audited, share=0.25)
    assert reading.risk == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert reading.risk_of_labelled is None


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 1.0), st.sampled_from([0.003, 0.4, 7.0, 90.0]))
def test_any_order_of_arrival_gives_the_same_reading(seed: int, share: float, pause: float) -> None:
    options = replace(OPTIONS, share=share)
    items = stream(150, 0.05, seed, share=share, pause=pause)
    items += [Answered(item.at + pause / 3, abstained=True) for item in items[::3]]
    at_once, in_parts = monitor(options=options), monitor(options=options)
    at_once.apply(changes(items, complete=True))
    for piece in in_pieces(items, seed, 8):
        in_parts.apply(piece)
        in_parts.read(LATER)
    assert in_parts.read(LATER) == at_once.read(LATER)


def test_a_corrected_label_counts_as_if_it_had_come_first() -> None:
    items = stream(2_000, 0.01, 3)
    one = monitor()
    one.apply(changes(items, complete=True))
    before = one.read(LATER)
    corrected = [
        replace(item, wrong=not item.wrong) if 500 <= k < 503 else item for k, item in enumerate(items)
    ]
    one.apply(changes(corrected[500:503]))
    assert one.read(LATER) == read(corrected)
    assert one.read(LATER) != before


def test_an_item_that_was_exchanged_leaves_no_trace() -> None:
    items = stream(300, 0.05, 4)
    one = monitor()
    one.apply(changes(items, complete=True))
    one.apply(changes([], removed=[items[40].audit().request_id, "unknown"]))
    rest = [item for item in items if item is not items[40]]
    assert signal(one.read(LATER), "broken") == signal(read(rest), "broken")


def test_the_process_stops_before_an_audit_that_waits() -> None:
    items = stream(200, 0.0, 5)
    items[100] = replace(items[100], wrong=None)
    reading = read(items, now=items[-1].at + 10)
    assert (reading.audits, reading.waiting, reading.missing) == (100, 1, 0)
    assert reading.decided == 200  # the coverage needs no labels


def test_a_label_that_never_comes_counts_as_wrong_after_the_wait() -> None:
    items = stream(200, 0.0, 5)
    items[100] = replace(items[100], wrong=None)
    now = items[-1].at + WAIT + 1
    reading = read(items, now=now)
    assert (reading.audits, reading.waiting, reading.missing) == (200, 0, 1)
    as_wrong = [replace(item, wrong=item.wrong is None) for item in items]
    assert signal(reading, "broken") == signal(read(as_wrong, now=now), "broken")
    assert reading.risk_of_labelled is not None
    assert reading.risk_of_labelled[0] <= reading.risk[0]


def test_or_the_monitor_holds_before_it_for_good() -> None:
    options = replace(OPTIONS, missing="hold")
    items = stream(200, 0.0, 5)
    items[100] = replace(items[100], wrong=None)
    one = monitor(options=options)
    one.apply(changes(items, complete=True))
    reading = one.read(items[-1].at + WAIT + 1)
    assert (reading.audits, reading.held_at) == (100, items[100].at)
    base = one.settle(items[-1].at + WAIT + MARGIN + 100)
    assert base is not None
    again = BundleMonitor(TERMS, options, base=base)
    again.apply(changes(stream(50, 0.5, 6, begin=items[-1].at + 5), complete=True))
    later = again.read(items[-1].at + 2 * WAIT)
    assert (later.audits, later.held_at) == (100, items[100].at)
    assert signal(later, "broken").e_value == pytest.approx(signal(reading, "broken").e_value, rel=1e-12)


def test_an_item_of_a_unit_counts_only_after_its_window() -> None:
    items = stream(100, 0.3, 7)
    one = monitor()
    one.apply(changes(items, complete=True, with_units=True))
    assert one.read(items[49].at + OPTIONS.gap + 1).images == 50
    assert one.read(items[-1].at + OPTIONS.gap + 1).images == 100


def test_a_clock_set_back_changes_nothing_for_good() -> None:
    items = stream(1_000, 0.01, 8)
    one = monitor()
    one.apply(changes(items, complete=True))
    before = one.read(items[-1].at + 1)
    back = one.read(items[-1].at - 500)
    assert back.images < before.images
    assert one.read(items[-1].at + 1) == before


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_base_and_the_rest_equal_the_whole(share: float) -> None:
    options = replace(OPTIONS, share=share)
    items = stream(6_500, 0.008, 9, share=share, pause=20.0)
    items += [Answered(item.at + 3, abstained=True) for item in items[::4]]
    one = monitor(options=options)
    one.apply(changes(items, complete=True))
    now = 1_000_000.0 + 100_000.0 + WAIT + MARGIN
    whole = one.read(now)
    base = one.settle(now)
    assert base is not None
    assert base.second == int(now - WAIT - MARGIN) // SECONDS * SECONDS
    restored = Base.from_dict(json.loads(json.dumps(base.to_dict())))
    assert restored == base
    rest = [item for item in items if item.at >= base.second - 5_000]
    again = BundleMonitor(TERMS, options, base=restored)
    again.apply(changes(rest, complete=True))
    for later in (one.read(now), again.read(now)):
        assert [x.e_value for x in later.signals] == pytest.approx(
            [x.e_value for x in whole.signals], rel=1e-12
        )
        assert [x.peak for x in later.signals] == pytest.approx([x.peak for x in whole.signals], rel=1e-12)
        assert later.risk == pytest.approx(whole.risk, rel=1e-9)
        assert (later.images, later.audits, later.decided) == (whole.images, whole.audits, whole.decided)
        assert later.since == whole.since


def test_a_store_that_was_emptied_and_filled_again_gives_the_same() -> None:
    items = stream(900, 0.02, 10)
    one = monitor()
    one.apply(changes(items, complete=True))
    before = one.read(LATER)
    one.apply(changes(items[:400], complete=True))
    assert one.read(LATER).images == 400
    one.apply(changes(items[400:]))
    assert one.read(LATER) == before


def test_worse_is_silent_until_there_is_a_baseline() -> None:
    assert not [one for one in read(stream(AUDITS - 100, 0.02, 11)).signals if one.signal == "worse"]


def test_worse_tests_against_the_bundles_own_beginning() -> None:
    items = stream(9_000, 0.004, 12) + stream(2_000, 0.02, 13, begin=1_009_000.0)
    reading = signal(read(items), "worse")
    ends = next(k for k, item in enumerate(items) if k >= AUDITS and int(item.at) % SECONDS == 0)
    sums = AuditSums()
    for item in items[:ends]:
        sums = sums.plus(bool(item.wrong), 1.0)
    detector = worse_detector(sums.upper_bound(), 0.01)
    values = [detector.update(bool(item.wrong)) for item in items[ends:]]
    assert reading.tested == sums.upper_bound() < 0.01
    assert reading.e_value == pytest.approx(values[-1], rel=1e-12)
    assert reading.peak == pytest.approx(max(values), rel=1e-12)
    assert reading.alarm
    assert not signal(read(items), "broken").alarm or reading.peak > 20


def test_worse_may_be_given_a_risk_to_begin_with() -> None:
    reading = read(stream(800, 0.03, 14), replace(OPTIONS, baseline_risk=0.005))
    assert signal(reading, "worse").tested == 0.005
    assert signal(reading, "worse").alarm


def test_coverage_needs_no_labels() -> None:
    items = [Answered(1_000_000.0 + k, wrong=None, abstained=k % 2 == 0) for k in range(1_500)]
    reading = signal(read(items), "coverage")
    assert reading.alarm
    assert reading.tested == 0.7


def test_parts_are_watched_apart_and_share_delta() -> None:
    terms = PromiseTerms("tiny:1", "promised", 0.01, "answer", ("no", "yes"))
    good, bad = stream(900, 0.0, 15, pause=2.0), stream(900, 0.03, 16, begin=1_000_001.0, pause=2.0)
    one = monitor(terms)
    items = [replace(item, part="no") for item in good] + [replace(item, part="yes") for item in bad]
    one.apply(changes(items, complete=True))
    reading = one.read(LATER)
    alone = e_detector(np.array([item.wrong for item in bad]), 0.01)
    assert signal(reading, "broken", "yes").e_value == pytest.approx(alone[-1], rel=1e-12)
    assert signal(reading, "broken", "yes").threshold == 40.0
    assert signal(reading, "broken", "yes").alarm
    assert not signal(reading, "broken", "no").alarm
    assert reading.images == 1_800


def test_a_promise_in_expectation_has_no_signal_of_a_broken_one() -> None:
    one = monitor(replace(TERMS, standing="in expectation"), replace(OPTIONS, baseline_risk=0.01))
    one.apply(changes(stream(500, 0.1, 17), complete=True))
    assert {each.signal for each in one.read(LATER).signals} == {"worse", "coverage"}


def test_a_share_that_grew_lets_the_interval_begin_anew() -> None:
    rare = stream(500, 0.0, 18, share=0.1)
    often = stream(500, 0.0, 19, begin=rare[-1].at + 100)
    reading = read(rare + often)
    assert reading.risk == pytest.approx(read(often).risk)
    assert reading.images == 1_000


def test_nothing_is_read_from_nothing() -> None:
    reading = read([])
    assert (reading.since, reading.images, reading.risk) == (None, 0, (0.0, 1.0))
    assert monitor().settle(LATER) is None


def test_a_correction_within_the_baseline_changes_the_risk_that_is_tested() -> None:
    items = stream(7_000, 0.004, 20)
    one = monitor()
    one.apply(changes(items, complete=True))
    before = signal(one.read(LATER), "worse").tested
    corrected = [replace(item, wrong=True) if k < 20 else item for k, item in enumerate(items)]
    one.apply(changes(corrected[:20]))
    assert signal(one.read(LATER), "worse") == signal(read(corrected), "worse")
    assert signal(one.read(LATER), "worse").tested > before
