from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.simulated_fleet import FLEET, PLAN, Bundles, SimulatedFleet, quick_plan
from fakes.waiting import eventually

from bundle.registry.errors import RegistryUnavailable
from bundle.registry.folder import FolderLocation
from bundle.registry.location import Location
from bundle.registry.registry import Registry
from deploy.errors import LeaseLost, PromoterAlive
from deploy.promotion.events import Outcome
from deploy.promotion.lease import Heartbeat, sign_of_life, wait_for_silence
from deploy.promotion.promoter import Order, promote, resume

ORDER = Order("Ada", "a better one")
NEXT = Order("Grace", "the promoter has died")


class Steady:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on()


def test_a_promoter_that_is_alive_is_not_followed(tmp_path: Path) -> None:
    steady, beats = Steady(), [0]
    steady.on = lambda: beats.append(len(beats)) if steady.now > 6.0 else None
    with pytest.raises(PromoterAlive, match="demur promotion abort"):
        wait_for_silence(lambda: beats[-1], 10.0, steady, steady.sleep)
    assert 6.0 < steady.now < 10.0


@pytest.mark.parametrize("last", [None, {"beat": 7}])
def test_silence_is_waited_for_as_long_as_a_lease_lasts(last: object) -> None:
    steady = Steady()
    wait_for_silence(lambda: last, 10.0, steady, steady.sleep)
    assert steady.now == pytest.approx(10.0)


def test_a_heart_beats_until_it_is_left(tmp_path: Path) -> None:
    location = FolderLocation(tmp_path)
    with Heartbeat(location, FLEET, "host:1", 3, lease=0.2):
        first = sign_of_life(location, FLEET, 3)
        assert (first["holder"], first["term"]) == ("host:1", 3)
        assert sign_of_life(location, FLEET, 2) is None
        eventually(lambda: sign_of_life(location, FLEET, 3)["beat"] > first["beat"] + 1)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"term": "3"}', b"\xff"])
def test_a_sign_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    location = FolderLocation(tmp_path)
    location.put(f"fleets/{FLEET}/promoter.json", content)
    assert sign_of_life(location, FLEET, 3) is None


def test_a_heart_goes_on_while_the_registry_does_not_answer(tmp_path: Path) -> None:
    class Away(FolderLocation):
        def put(self, key: str, data: bytes) -> None:
            raise RegistryUnavailable("it is away")

    with Heartbeat(Away(tmp_path), FLEET, "host:1", 1, lease=0.1):
        pass


def test_two_that_take_over_at_the_same_moment_are_told_apart(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    _stop_in_shadow(fleet, bundles)
    scene, calls = fleet.scene(), [0]

    def sleep(seconds: float) -> None:
        """The other one takes over while this one waits, and ends it."""
        calls[0] += 1
        fleet.sleep(seconds)
        if calls[0] == 19:
            resume(fleet.scene(), NEXT)

    scene.sleep = sleep
    with pytest.raises(PromoterAlive, match="gives signs of life"):
        resume(scene, NEXT)
    assert fleet.records()[-1].champion == bundles.newcomer
    terms = [one.promotion.term for one in fleet.records() if one.promotion]
    assert terms == sorted(terms)
    assert max(terms) == 2


@pytest.mark.parametrize("jump", [-1e6, -60.0, 60.0, 1e6])
def test_a_clock_that_is_set_during_a_lease_takes_nothing_from_its_holder(
    fleet: SimulatedFleet, bundles: Bundles, jump: float
) -> None:
    """The holder goes on in its times, and who waits for its silence still hears it."""
    seen: list[str] = []

    def set_clock_and_ask() -> None:
        state = fleet.records()[-1].promotion
        if state is None or state.phase != "canary" or seen:
            return
        seen.append("asked")
        fleet.now += jump
        location = fleet.registry.location
        scene, calls = fleet.scene(), [0]

        def sleep(seconds: float) -> None:
            calls[0] += 1
            fleet.ticks += seconds
            beat = {"holder": state.holder, "term": state.term, "beat": calls[0]}
            location.put(f"fleets/{FLEET}/promoter.json", json.dumps(beat).encode())

        scene.sleep = sleep
        with pytest.raises(PromoterAlive):
            resume(scene, NEXT)
        seen.append("told")

    fleet.at_tick.append(set_clock_and_ask)
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert seen == ["asked", "told"]
    assert outcome.phase == "promoted"


def test_a_promoter_that_slept_is_told_that_another_has_taken_over(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    """Its records are refused, however sure it is of its lease."""
    ends: list[Outcome] = []

    def take_over() -> None:
        state = fleet.records()[-1].promotion
        if state is not None and state.phase == "shadow" and state.term == 1:
            fleet.at_tick.clear()
            scene = fleet.scene()
            taken: list[object] = []

            def stop(seconds: float) -> None:
                fleet.sleep(seconds)
                newest = fleet.records()[-1].promotion
                if newest is not None and newest.term == 2 and newest.phase == "canary":
                    taken.append(None)
                    raise KeyboardInterrupt

            scene.sleep = stop
            with pytest.raises(KeyboardInterrupt):
                resume(scene, NEXT)

    fleet.at_tick.append(take_over)
    with pytest.raises(LeaseLost, match="taken over by"):
        promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    state = fleet.records()[-1].promotion
    assert state is not None
    assert (state.term, state.phase) == (2, "canary")
    ends.append(resume(fleet.scene(), NEXT))
    assert ends[0].phase == "promoted"


def test_the_first_promoter_is_told_how_another_has_ended_it(fleet: SimulatedFleet, bundles: Bundles) -> None:
    def take_over() -> None:
        state = fleet.records()[-1].promotion
        if state is not None and state.phase == "shadow" and state.term == 1:
            fleet.at_tick.clear()
            resume(fleet.scene(), NEXT)

    fleet.at_tick.append(take_over)
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    assert len([one for one in fleet.records() if one.promotion and one.promotion.phase == "promoted"]) == 1


def take_the_registry_away(fleet: SimulatedFleet, seconds: float) -> None:
    """It does not answer for so long from the first canary step on."""
    away = Away(fleet.registry.location)
    fleet.registry = Registry(away)  # type: ignore[arg-type]
    state: dict[str, float] = {}

    def outage() -> None:
        newest = fleet.records()[-1].promotion
        if newest is not None and newest.phase == "canary":
            state.setdefault("since", fleet.ticks)
            away.away = fleet.ticks - state["since"] < seconds

    fleet.at_tick.append(outage)


def test_a_registry_that_is_away_for_a_while_costs_time_and_no_promotion(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    take_the_registry_away(fleet, 120.0)
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    assert any("it is away" in (one.waits_for or "") for one in fleet.events)


def test_a_registry_that_stays_away_ends_a_step_when_it_is_back(
    fleet: SimulatedFleet, bundles: Bundles
) -> None:
    take_the_registry_away(fleet, 1800.0)
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "rolled-back"
    assert outcome.why is not None
    assert "canary 10 %: its time of 10m is over" in outcome.why
    assert fleet.records()[-1].champion == bundles.champion


def test_a_record_whose_answer_was_lost_is_not_written_twice(fleet: SimulatedFleet, bundles: Bundles) -> None:
    class Lossy(FolderLocation):
        """Every other record is written, and the answer is lost."""

        written = 0

        def create(self, key: str, data: bytes) -> None:
            super().create(key, data)
            if "generations" in key:
                self.written += 1
                if self.written % 2 == 0:
                    raise RegistryUnavailable("it did not answer in time")

    fleet.registry = Registry(Lossy(fleet.folder))
    outcome = promote(fleet.scene(), PLAN, bundles.newcomer, ORDER)
    assert outcome.phase == "promoted"
    states = [(one.promotion.phase, one.promotion.step) for one in fleet.records() if one.promotion]
    assert len(set(states)) == len(states)


class Away:
    """A registry that does not answer while `away`."""

    def __init__(self, location: Location) -> None:
        self._location, self.away = location, False

    def __getattr__(self, name: str) -> object:
        if self.away and name != "address":
            raise RegistryUnavailable("it is away")
        return getattr(self._location, name)


def _stop_in_shadow(fleet: SimulatedFleet, bundles: Bundles) -> None:
    """A promotion whose promoter has died."""

    def die(seconds: float) -> None:
        fleet.sleep(seconds)
        state = fleet.records()[-1].promotion
        if state is not None and state.phase == "shadow":
            raise KeyboardInterrupt

    scene = fleet.scene()
    scene.sleep = die
    with pytest.raises(KeyboardInterrupt):
        promote(scene, quick_plan(lease="10s"), bundles.newcomer, ORDER)
