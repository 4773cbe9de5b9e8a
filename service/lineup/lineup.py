"""Line-up: the champion, and the challengers beside it by share or as shadows.

A change has two steps, so that several workers can change as one: `prepare` does everything that may fail
while the old line-up serves; `commit` only swaps, between two requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import MANIFEST_FILE, BundleError
from service.lineup.assignment import arm_of
from service.lineup.deployment import Deployment, deployment_for
from service.settings import ChallengerSettings, Settings


@dataclass(frozen=True, slots=True)
class LineupPlan:
    """The bundles of a line-up, by their folders."""

    champion: Path
    challengers: tuple[ChallengerSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class Challenger:
    """A loaded bundle beside the champion."""

    deployment: Deployment
    share: float | None
    """Share of the units that it answers; None: a shadow."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The loaded bundles of one moment."""

    champion: Deployment
    planned: tuple[Challenger, ...] = ()

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Those beside the champion; one that has become the champion is left out while it is."""
        return tuple(one for one in self.planned if one.deployment.label != self.champion.label)

    def opened(self) -> dict[Path, Deployment]:
        """Every loaded bundle by its folder."""
        every = (self.champion, *(other.deployment for other in self.planned))
        return {one.folder.resolve(): one for one in every}


class Deployments:
    """The line-up that serves, and the prepared one, if any."""

    def __init__(self, settings: Settings, lineup: Lineup) -> None:
        self._settings = settings
        self._lineup = lineup
        self._prepared: Lineup | None = None

    @classmethod
    def open(cls, settings: Settings) -> Deployments:
        """Load the settings' bundle and its challengers. Raises as `deployment_for` does."""
        plan = LineupPlan(settings.bundle, settings.challengers)
        return cls(settings, _open(settings, plan, {}))

    @property
    def champion(self) -> Deployment:
        """The bundle that answers every unit outside the challengers' shares."""
        return self._lineup.champion

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Those beside the champion; one that has become the champion is left out while it is."""
        return self._lineup.challengers

    @property
    def shadows(self) -> list[Deployment]:
        """The bundles that compute and never answer."""
        return [challenger.deployment for challenger in self.challengers if challenger.share is None]

    def answering(self, unit: str) -> Deployment:
        """The bundle that answers this unit."""
        lineup = self._lineup
        if not lineup.planned:
            return lineup.champion
        arms = [(one.deployment, one.share) for one in lineup.challengers if one.share is not None]
        arm = arm_of(
            [share for _, share in arms], self._settings.experiment, self._settings.experiment_salt, unit
        )
        return lineup.champion if arm is None else arms[arm][0]

    def shares(self) -> dict[str, float]:
        """Share of the units per bundle label: the champion has the rest, a shadow 0."""
        given = {one.deployment.label: one.share or 0.0 for one in self.challengers}
        return {self.champion.label: round(1.0 - sum(given.values()), 9), **given}

    def prepare(self, plan: LineupPlan, *, reopen: bool = False) -> Lineup:
        """Load the bundles of `plan`. Raises as `deployment_for` does, and changes nothing then.

        A bundle that serves already stays as it is; `reopen` loads the champion again, because its folder may
        hold another bundle by now.
        """
        self._prepared = None
        opened = self._lineup.opened()
        if reopen:
            opened.pop(plan.champion.resolve(), None)
        self._prepared = _open(self._settings, plan, opened)
        return self._prepared

    def commit(self) -> None:
        """Serve the prepared line-up from the next request on; without one, do nothing."""
        if self._prepared is not None:
            self._lineup, self._prepared = self._prepared, None

    def abort(self) -> None:
        """Drop the prepared line-up."""
        self._prepared = None


def _open(settings: Settings, plan: LineupPlan, opened: dict[Path, Deployment]) -> Lineup:
    def deployment(folder: Path) -> Deployment:
        resolved = folder.resolve()
        if resolved not in opened:
            opened[resolved] = deployment_for(settings.model_copy(update={"bundle": folder}))
        return opened[resolved]

    champion = deployment(plan.champion)
    challengers = [Challenger(deployment(one.folder), one.share) for one in plan.challengers]
    _require_same_classes([champion, *(one.deployment for one in challengers)])
    _refuse_duplicates([one.deployment for one in challengers])
    return Lineup(champion, tuple(challengers))


def _require_same_classes(deployments: Sequence[Deployment]) -> None:
    first = deployments[0]
    for other in deployments[1:]:
        if first.classes != other.classes:
            raise BundleError(
                MANIFEST_FILE,
                f"{other.label} knows {', '.join(other.classes)}, and {first.label} "
                f"{', '.join(first.classes)}; bundles that serve side by side must know the same classes",
            )


def _refuse_duplicates(challengers: Sequence[Deployment]) -> None:
    labels = [one.label for one in challengers]
    for label in labels:
        if labels.count(label) > 1:
            raise BundleError(MANIFEST_FILE, f"{label} is a challenger twice")
