"""A fleet in simulated time: real records in a folder registry, and services that follow them each second.

Nothing here runs by itself. `sleep`, which the promoter calls, moves the time on and lets each service look
at the registry, so a promotion of hours takes milliseconds and always happens in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.tiny_bundle import write_tiny_bundle

from bundle.registry.changes import promoted
from bundle.registry.folder import FolderLocation
from bundle.registry.generation import Change, Generation, Ref
from bundle.registry.location import Location
from bundle.registry.registry import Registry
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan
from deploy.promotion.events import Event
from deploy.promotion.offline_step import OfflineGates
from deploy.promotion.plan import Plan
from deploy.promotion.plan_file import plan_of
from deploy.promotion.scene import Scene
from monitoring.fleet.report import ServiceReport

FLEET = "tiny"
PLAN = plan_of(
    """
    services: 2
    lease: 10s
    prepare: {longest: 1m}
    shadow: {units: 50, longest: 5m}
    canary:
      - {share: 0.1, units: 30, longest: 10m}
      - {share: 0.5, units: 100, longest: 10m}
    everything: {longest: 1m}
    """,
    "plan.yaml",
)


@dataclass(frozen=True, slots=True)
class ScriptedGates(OfflineGates):
    """Offline gates whose results are given; an exception among them is raised in its place."""

    results: tuple[GateResult | Exception, ...] = (GateResult("golden", "passed", "12 of 12"),)

    def names(self, plan: GatesPlan, *, first: bool) -> tuple[str, ...]:
        return ("golden",)

    def run(
        self,
        plan: GatesPlan,
        folders: tuple[Path, Path | None],
        on: Callable[[GateResult], None],
        cancelled: Callable[[], bool],
    ) -> tuple[GateResult, ...]:
        for one in self.results:
            if isinstance(one, Exception):
                raise one
            on(one)
        return tuple(one for one in self.results if isinstance(one, GateResult))


@dataclass(slots=True)
class SimulatedService:
    """A service that follows the registry."""

    name: str
    cannot_open: set[str] = field(default_factory=set)
    """Digests"""
    silent: bool = False
    """Whether it is gone"""
    stuck: bool = False
    """Whether it reports, and follows no more"""
    number: int = 0
    champion: Ref | None = None
    opened: tuple[str, ...] = ()
    fault: str | None = None

    def follow(self, newest: Generation | None) -> None:
        """Adopt a record as a service does: whole, or not at all."""
        if newest is None or newest.champion is None or self.stuck:
            return
        wanted = (newest.champion, newest.next, *(one.bundle for one in newest.challengers))
        closed = [one for one in wanted if one is not None and one.digest in self.cannot_open]
        self.fault = f"cannot open {closed[0].label}: its model is of another world" if closed else None
        if closed and newest.next != closed[0]:
            return
        self.number, self.champion = newest.number, newest.champion
        self.opened = tuple(one.digest for one in wanted if one is not None and one not in closed)

    def report(self, at: float) -> ServiceReport:
        champion = self.champion or Ref("", "")
        number, prepared = self.number, self.number
        return ServiceReport(
            *(self.name, at, number, champion.digest, champion.label), self.opened, prepared, self.fault
        )


def no_report(*_: object) -> str:
    """Draws nothing, and names no place."""
    return "nowhere"


class SimulatedFleet:
    """A registry with a champion, a newcomer and another bundle; services; and their common view."""

    def __init__(self, folder: Path, services: int = 3, *, location: Location | None = None) -> None:
        """`folder`: that `prepared_registry` has filled; `location`: in the place of its own."""
        self.folder = folder
        self.registry = Registry(location or FolderLocation(folder))
        self.services = [SimulatedService(f"pod-{number}") for number in range(services)]
        self.now, self.ticks = 1_800_000_000.0, 0.0
        self.events: list[Event] = []
        self.units_per_second = 20.0
        self.agreement, self.answered = 0.99, 0.8
        self.guard_states: dict[str, str] = {}
        self.blocked = False
        self.at_tick: list[Callable[[], None]] = []
        """Called once a simulated second"""
        self._log = Registry(FolderLocation(folder)).fleet(FLEET)
        """Read past what a test has put before the registry"""
        self._records: list[Generation] = []
        self._strata: list[float] = []
        self._shadowed = 0.0

    def scene(self, **given: Any) -> Scene:
        """What a promoter sees."""
        standing = {"gates": ScriptedGates(), "report": no_report, "reports": self, "views": self}
        values: dict[str, Any] = {**standing, **given}
        return Scene(
            *(self.registry, FLEET),
            **{"on": self.events.append, "clock": self.clock, "steady": self.steady, "sleep": self.sleep}
            | values,
        )

    def clock(self) -> float:
        return self.now

    def steady(self) -> float:
        return self.ticks

    def sleep(self, seconds: float) -> None:
        """Let time pass, and everyone look at the registry."""
        self.now, self.ticks = self.now + seconds, self.ticks + seconds
        newest = (self.records() or [None])[-1]
        for service in self.services:
            if not service.silent:
                service.follow(newest)
        self._count(newest, seconds)
        for call in self.at_tick:
            call()

    def all(self) -> list[ServiceReport]:
        """As `FleetReports.all`."""
        return [one.report(self.now) for one in self.services if not one.silent]

    def newest(self, name: str) -> Mapping[str, Any] | None:
        """As `SharedViews.newest`."""
        experiment: Any = self.records()[-1].experiment
        if experiment is None or experiment["name"] != name or not self._strata:
            return None
        label = experiment["arms"][0]["label"]
        guards = ("coverage", "risk", "errors", "latency")
        states = {guard: self.guard_states.get(guard, "within") for guard in guards}
        dealt = label in experiment["strata"][-1]["shares"]
        return {
            "age": 0.5,
            "stratum": len(self._strata) - 1,
            "blocked": self.blocked,
            "sample_ratio": {"highest": 1.0},
            "strata_units": [{"control": 9 * int(units), label: int(units)} for units in self._strata],
            "shadows": {label: self._shadow()},
            "guardrails": [
                {
                    "guard": guard,
                    "arm": label,
                    "state": state,
                    "harm": 0.01,
                    "low": -0.01,
                    "high": 0.03,
                    "text": f"{guard} is {state}",
                }
                for guard, state in states.items()
                if dealt
            ],
        }

    def records(self) -> list[Generation]:
        """Every record so far, the first one first. Records never change, so each is read once."""
        while (later := self._log.after(len(self._records))) is not None:
            self._records.append(later)
        return list(self._records)

    def _shadow(self) -> dict[str, Any]:
        units = int(self._shadowed)
        shares = {"agreement": self.agreement, "answered": self.answered, "control_answered": 0.8}
        return {"units": units, "requests": units, **(shares if units else dict.fromkeys(shares))}

    def _count(self, newest: Generation | None, seconds: float) -> None:
        experiment: Any = None if newest is None else newest.experiment
        if experiment is None:
            self._strata, self._shadowed = [], 0.0
            return
        self._strata += [0.0] * (len(experiment["strata"]) - len(self._strata))
        stratum = experiment["strata"][-1]
        for share in stratum["shares"].values():
            self._strata[-1] += seconds * share * self.units_per_second
        self._shadowed += seconds * self.units_per_second * len(stratum["shadows"])


@dataclass(frozen=True, slots=True)
class Bundles:
    """The bundles of a prepared registry."""

    champion: Ref
    newcomer: Ref
    other: Ref


def prepared_registry(folder: Path, *, empty: bool = False) -> Bundles:
    """Fill `folder` with three bundles, and with a champion, unless it is to be `empty`."""
    registry = Registry(FolderLocation(folder / "registry"))
    names = ("one", "two", "three")
    refs = [registry.push(write_tiny_bundle(folder / one, stages=1, name=one), "tests") for one in names]
    if not empty:
        change = Change(1_700_000_000.0, "tests", "the first champion")
        registry.fleet(FLEET).append(promoted(None, refs[0], change))
    return Bundles(*refs)


def quick_plan(**given: Any) -> Plan:
    """The plan with other values, as in a file."""
    return Plan.model_validate({**PLAN.to_values(), **given})
