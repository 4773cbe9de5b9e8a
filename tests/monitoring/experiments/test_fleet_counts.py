"""Counts of a fleet over a real store: all services together, whoever dies, restarts or writes nonsense."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.experiment_events import AT, CHALLENGER, NOTE, Behaviour, definition, events

from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.events import Event
from monitoring.experiments.arms import ArmSums
from monitoring.experiments.changes import withdrawn
from monitoring.experiments.counted import Counted
from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import Arm, Definition
from monitoring.experiments.fleet_counts import FleetCounts
from monitoring.experiments.guardrails import GuardReading, guard_readings
from monitoring.experiments.shared_keys import KEEP, logs_key, rows_key
from monitoring.experiments.shared_view import SharedViews
from monitoring.experiments.view import ExperimentView
from monitoring.experiments.watch import ExperimentWatch
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey

HELD = definition()


class Service:
    """What one service counts, and what it says of all."""

    def __init__(self, url: str, fleet: str, log: str) -> None:
        self.sums = ArmSums("ramp", HELD.guardrails.slow)
        self.counts = FleetCounts(url, fleet, log)

    def look(self, held: Definition = HELD, of: Sequence[Event] = ()) -> Counted:
        self.sums.know(held.names)
        self.sums.add(of)
        return self.counts.counted(held, Counted.of(self.sums))


@pytest.fixture
def fleet(valkey: EmbeddedValkey, model: str) -> Callable[[str], Service]:
    return lambda log: Service(valkey.url, model, log)


def requests(counted: Counted) -> int:
    return int(counted.rows.counts["requests"].sum())


def view(held: Definition, **fields: Any) -> ExperimentView:
    return replace(ExperimentView(held, AT, {}, {}, None, (), (), {}), **fields)


def test_what_no_service_sees_alone_they_see_together(fleet: Callable[[str], Service]) -> None:
    """A challenger is beyond a limit on the rows of three, and on those of none alone."""
    bad = Behaviour(answers=0.55)
    services = [fleet(f"log-{number}") for number in range(3)]
    for number, one in enumerate(services):
        of = list(events(60, challenger=bad, seed=number, first=100 * number))
        alone = Counted.of(_summed(of))
        assert _states(alone)["coverage"] != "beyond"
        one.look(of=of)
    whole = [one.look() for one in services]
    assert {_states(one)["coverage"] for one in whole} == {"beyond"}
    assert {(len(one.rows), one.services) for one in whole} == {(180, 3)}


def _summed(of: Sequence[Event]) -> ArmSums:
    sums = ArmSums("ramp", HELD.guardrails.slow)
    sums.know(HELD.names)
    sums.add(of)
    return sums


def _states(counted: Counted) -> dict[str, str]:
    found = guard_readings(HELD, counted.rows, counted.table(HELD))
    return {one.guard: one.state for one in found}


def test_only_changed_blocks_are_sent_and_late_labels_arrive(fleet: Callable[[str], Service]) -> None:
    one, two = fleet("one"), fleet("two")
    one.look(of=list(events(5000, per_unit=1)))
    assert requests(two.look()) == 5000
    sent = dict(one.counts._rows._sent)
    assert sorted(sent) == [b"u0", b"u1"]
    one.look(of=list(events(1, per_unit=1, first=5000)))
    again = one.counts._rows._sent
    assert (again[b"u0"], again[b"u1"]) != (sent[b"u0"], sent[b"u1"])
    assert again[b"u0"] == sent[b"u0"]
    assert requests(two.look()) == 5001


def test_a_service_that_died_counts_and_one_that_returns_counts_once(
    fleet: Callable[[str], Service],
) -> None:
    of = list(events(40))
    fleet("dead").look(of=of)
    assert requests(fleet("alive").look()) == 120
    # It is started again on its data, and reads its log from the beginning.
    assert requests(fleet("dead").look(of=of)) == 120
    assert requests(fleet("alive").look()) == 120


def test_a_store_that_lost_its_memory_gets_the_rows_again(
    fleet: Callable[[str], Service], valkey: EmbeddedValkey, model: str
) -> None:
    one, two = fleet("one"), fleet("two")
    one.look(of=list(events(40)))
    with connect(valkey.url) as client:
        client.delete(rows_key(model, "ramp", "one"), logs_key(model, "ramp"))
    assert requests(two.look()) == 0
    one.look()
    one.look()
    assert requests(two.look()) == 120


def test_rows_of_a_dealing_that_is_not_known_are_left_out(fleet: Callable[[str], Service]) -> None:
    later = withdrawn(HELD.with_arm(Arm("three:1", "/three")), [CHALLENGER], NOTE, "guardrail risk")
    ahead, behind = fleet("ahead"), fleet("behind")
    of = [replace(one, stratum=1) if hasattr(one, "stratum") else one for one in events(10, share=0.0)]
    ahead.look(later, [*events(10, first=50), *of])
    assert requests(behind.look()) == 30
    assert requests(behind.look(later)) == 60


def test_another_experiment_of_the_name_is_none_of_this(fleet: Callable[[str], Service]) -> None:
    before = replace(HELD, started=replace(NOTE, at=AT - 1e6))
    fleet("old").look(before, list(events(10)))
    assert requests(fleet("new").look(of=list(events(20)))) == 60


@pytest.mark.parametrize(
    "fields",
    [
        {"head": b"nonsense"},
        {"head": b"[]"},
        {"head": json.dumps({"format": 2}).encode()},
        {"u0": b"nonsense"},
        {"u0": b""},
    ],
)
def test_nonsense_of_one_service_costs_its_own_rows_alone(
    fleet: Callable[[str], Service],
    valkey: EmbeddedValkey,
    model: str,
    fields: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    fleet("good").look(of=list(events(10)))
    fleet("bad").look(of=list(events(10, first=50)))
    with connect(valkey.url) as client:
        client.hset(rows_key(model, "ramp", "bad"), mapping=dict(fields.items()))
    reader = fleet("reader")
    assert [requests(reader.look()) for _ in range(2)] == [30, 30]
    assert capfd.readouterr().out.count("experiment_rows_unreadable") <= 1


def test_two_fleets_do_not_see_each_other(valkey: EmbeddedValkey, model: str) -> None:
    Service(valkey.url, f"{model}-a", "one").look(of=list(events(10)))
    assert requests(Service(valkey.url, f"{model}-b", "two").look()) == 0


def test_without_the_store_a_service_goes_on_with_what_it_has(
    private_valkey: Callable[[], EmbeddedValkey], model: str
) -> None:
    server = private_valkey()
    one, two = Service(server.url, model, "one"), Service(server.url, model, "two")
    one.look(of=list(events(10)))
    assert requests(two.look()) == 30
    server.__exit__(None, None, None)
    assert requests(two.look(of=list(events(5, first=50)))) == 45
    two.counts.keep_view(view(HELD))
    assert requests(two.look(replace(HELD, started=replace(NOTE, at=AT + 1), name="other"))) == 15


def test_the_rows_leave_the_store_by_themselves(
    fleet: Callable[[str], Service], valkey: EmbeddedValkey, model: str
) -> None:
    one = fleet("one")
    one.look(of=list(events(10)))
    one.counts.keep_view(view(HELD))
    with connect(valkey.url) as client:
        keys = list(client.scan_iter(f"*{model}*"))
        assert len(keys) == 3
        assert all(0 < int(client.ttl(key)) <= KEEP for key in keys)


def test_the_view_of_whoever_knows_most_is_the_newest(valkey: EmbeddedValkey, model: str) -> None:
    views = SharedViews(valkey.url, model)
    assert views.newest("ramp") is None
    later = HELD.with_stratum(HELD.strata[0])
    views.keep("ramp", "ahead", view(later).to_values())
    views.keep("ramp", "behind", view(HELD).to_values())
    found = views.newest("ramp")
    assert found is not None
    assert found["stratum"] == 1
    assert 0.0 <= found["age"] < KEEP
    with connect(valkey.url) as client:
        client.set(f"demur:{{{model}}}:experiment:ramp:view:ahead", b"nonsense")
    found = views.newest("ramp")
    assert found is not None
    assert found["stratum"] == 0
    views.close()


def test_a_watch_judges_what_all_services_have_counted(
    valkey: EmbeddedValkey, model: str, tmp_path: Path
) -> None:
    class Observer:
        """Keeps who must leave."""

        def __init__(self) -> None:
            self.left: set[str] = set()

        def show(self, view: ExperimentView) -> None:
            pass

        def mismatched(self, view: ExperimentView) -> None:
            pass

        def beyond(self, reading: GuardReading) -> None:
            self.left.add(f"{reading.guard} {reading.arm}")

    watches, observers = [], []
    for number in range(3):
        folder = tmp_path / str(number)
        with closing(EventLog.claim(folder, LogBounds())) as log:
            log.append(list(events(60, challenger=Behaviour(answers=0.55), seed=number, first=100 * number)))
        observers.append(Observer())
        counts = FleetCounts(valkey.url, model, f"log-{number}")
        watches.append(ExperimentWatch([folder], lambda: HELD, observers[-1], LabelTimes(), shared=counts))
        watches[-1].look()
    assert observers[0].left == set()
    views = [one.look() for one in watches]
    assert [one.left for one in observers] == [{f"coverage {CHALLENGER}"}] * 3
    assert {sum(one.units.values()) for one in views if one is not None} == {180}
    newest = SharedViews(valkey.url, model).newest("ramp")
    assert newest is not None
    assert (newest["services"], sum(newest["strata_units"][0].values())) == (3, 180)
    assert {one["state"] for one in newest["guardrails"] if one["guard"] == "coverage"} == {"beyond"}
