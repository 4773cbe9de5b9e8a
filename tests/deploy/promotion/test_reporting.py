"""A promotion leaves its report, however it ends; a report that cannot be written changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.simulated_fleet import FLEET, PLAN, Bundles, SimulatedFleet

from bundle.registry.keys import promotion
from deploy.promotion.decisions import abort
from deploy.promotion.promoter import Order, promote
from deploy.report.writing import write_report

ORDER = Order("Ada", "a better one")


def page_of(fleet: SimulatedFleet, identifier: str) -> str:
    key = f"{promotion(FLEET, identifier)}/report.md"
    return fleet.registry.location.read(key, 2**20).decode()


def test_a_promotion_leaves_its_report(fleet: SimulatedFleet, bundles: Bundles) -> None:
    outcome = promote(fleet.scene(report=write_report), PLAN, bundles.newcomer, ORDER)
    page = page_of(fleet, outcome.id)
    assert f"`{bundles.newcomer.label}` is the champion of fleet" in page
    assert "`guardrail risk`" in page
    assert any("report.md" in one.text for one in fleet.events if one.kind == "note")
    assert fleet.events[-1].kind == "promoted"


def test_a_rollback_leaves_its_report(fleet: SimulatedFleet, bundles: Bundles) -> None:
    fleet.guard_states["risk"] = "beyond"
    outcome = promote(fleet.scene(report=write_report), PLAN, bundles.newcomer, ORDER)
    page = page_of(fleet, outcome.id)
    assert f"`{bundles.champion.label}` serves as before" in page
    assert "guardrail risk has failed" in page


def test_a_promotion_that_a_person_ends_leaves_its_report(fleet: SimulatedFleet, bundles: Bundles) -> None:
    def end() -> None:
        if any(one.kind == "began" and one.phase == "shadow" for one in fleet.events) and not ended:
            ended.append(abort(fleet.scene(), "Bob", "not today"))

    ended: list[Any] = []
    fleet.at_tick.append(end)
    outcome = promote(fleet.scene(report=write_report), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "rolled-back"
    page = page_of(fleet, outcome.id)
    assert "not today" in page
    assert "| decided by | Bob |" in page


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("no ink")])
def test_a_report_that_cannot_be_written_changes_nothing(
    fleet: SimulatedFleet, bundles: Bundles, error: Exception
) -> None:
    def fails(*_: object) -> str:
        raise error

    outcome = promote(fleet.scene(report=fails), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    (note,) = [one.text for one in fleet.events if one.kind == "note"]
    assert note.startswith("the report is not written: ")
