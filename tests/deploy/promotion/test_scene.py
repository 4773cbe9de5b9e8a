"""The scene with the real parts: reports, views and the call of a fleet in a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.simulated_fleet import FLEET, PLAN, Bundles, SimulatedFleet

from deploy.promotion.promoter import Order, promote
from monitoring.experiments.shared_view import SharedViews
from monitoring.fleet.reports import FleetReports
from monitoring.fleet.wake import FleetWake
from monitoring.store.embedded_valkey import EmbeddedValkey

ORDER = Order("Ada", "a better one")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


def test_a_promotion_sees_its_fleet_through_a_real_store(
    fleet: SimulatedFleet, bundles: Bundles, store: str
) -> None:
    with (
        FleetReports(store, FLEET) as reports,
        FleetWake(store, FLEET) as wake,
        FleetWake(store, FLEET) as heard,
    ):
        views = SharedViews(store, FLEET)
        heard.listen()

        def publish() -> None:
            for report in fleet.all():
                reports.report(report)
            experiment = fleet.records()[-1].experiment
            view = None if experiment is None else fleet.newest(str(experiment["name"]))
            if experiment is not None and view is not None:
                views.keep(str(experiment["name"]), "pod-0", dict(view))

        publish()
        fleet.at_tick.append(publish)
        scene = fleet.scene(reports=reports, views=views, wake=wake)
        outcome = promote(scene, PLAN, bundles.newcomer, ORDER)
        views.close()
        assert outcome.phase == "promoted"
        assert heard.wait(30.0), "each record calls the services"


def test_a_store_that_is_gone_is_no_pass(fleet: SimulatedFleet, bundles: Bundles, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        reports, wake = FleetReports(server.url, FLEET), FleetWake(server.url, FLEET)
        for report in fleet.all():
            reports.report(report)

        def end_it() -> None:
            state = fleet.records()[-1].promotion
            if state is not None and state.phase == "prepare":
                server.close()

        fleet.at_tick.append(end_it)
        outcome = promote(fleet.scene(reports=reports, wake=wake), PLAN, bundles.newcomer, ORDER)
        assert outcome.why is not None
        assert "prepare: its time of 1m is over, and it has not passed: the store: " in outcome.why
        assert fleet.records()[-1].champion == bundles.champion
        reports.close()
        wake.close()


def test_the_course_of_a_guardrail_is_kept_and_bounded(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.guard_states = {"risk": "inconclusive"}
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    last = outcome.results[-1]
    risk = next(one for one in reversed(outcome.results) if one["gate"] == "guardrail risk")
    course = risk["details"]["course"]
    assert last["phase"] == "canary"
    assert 100 <= len(course) <= 201
    times = [at for at, *_ in course]
    assert times == sorted(times)
    assert times[-1] - times[0] > 500.0
    assert course[0][1:] == [0.01, -0.01, 0.03]
