"""Three bundles, a data folder, and a service with experiments that can be started again; no workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes.tiny_bundle import write_tiny_bundle

from monitoring.experiments.changes import Design
from monitoring.experiments.definition import Definition
from monitoring.experiments.folder import ExperimentFolder
from service.errors import ChangeRefused
from service.lineup.experiment_orders import Asked, Start
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet
from service.lineup.lineup import LineupPlan
from service.lineup.restart import plan_at_start
from service.settings import ChallengerSettings, Settings

NOTE = ("Ada", "because")
ASKED = Asked(*NOTE)


class FleetWithoutWorkers(Fleet):
    """Changes at once, after it has kept the plan."""

    def _change(self, plan: LineupPlan, cancelled: Callable[[], bool], **options: Any) -> str:
        try:
            options.get("keep", never)(plan)
        except OSError as error:
            raise ChangeRefused(f"the data folder does not keep it: {error.strerror}") from error
        self.plan = plan
        return "label"


class Scene:
    """Three bundles, a data folder, and a service that can be started again."""

    def __init__(self, folder: Path) -> None:
        self.one = write_tiny_bundle(folder / "one")
        self.two = write_tiny_bundle(folder / "two", stages=1, name="other")
        self.three = write_tiny_bundle(folder / "three", stages=1, name="third")
        self.data = folder / "data"
        self.folder = ExperimentFolder(self.data)
        self.restart()

    def restart(self, **settings: object) -> None:
        given = {"bundle": self.one, "data_dir": self.data, **settings}
        plan, running = plan_at_start(Settings.read({}, **given))
        self.fleet = FleetWithoutWorkers(plan)
        self.experiments = Experiments(self.fleet, self.folder, self.one, running)

    def start(self, name: str = "ramp", **shares: float | None) -> Definition:
        challengers = [self.challenger(one, share) for one, share in shares.items()]
        return self.experiments.start(Start(Design(name, "salt"), *NOTE, challengers), never)

    def challenger(self, name: str, share: float | None) -> ChallengerSettings:
        return ChallengerSettings(folder=getattr(self, name), share=share)

    def share(self, name: str, share: float | None) -> None:
        self.experiments.challenge(self.challenger(name, share), never, ASKED)

    @property
    def shares(self) -> dict[str, float | None]:
        return {one.folder.name: one.share for one in self.fleet.plan.challengers}


def never(*_: object) -> bool:
    return False
