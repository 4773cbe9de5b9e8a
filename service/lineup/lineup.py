"""Line-up: the champion, and the challengers beside it by share or as shadows.

A change has two steps, so that several workers can change as one: `prepare` does everything that may fail
while the old line-up serves; `commit` only swaps, between two requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from bundle.engines.contract import EngineError
from bundle.manifest import MANIFEST_FILE, BundleError
from bundle.verify import read_manifest
from monitoring.events import CONTROL, Exposure
from monitoring.experiments.dealing import Dealing, RunningExperiment
from service.lineup.deployment import Deployment, deployment_for
from service.settings import ChallengerSettings, Settings

logger = structlog.get_logger("demur.fleet")


@dataclass(frozen=True, slots=True)
class LineupPlan:
    """The bundles of a line-up, by their folders."""

    champion: Path
    challengers: tuple[ChallengerSettings, ...] = ()
    experiment: RunningExperiment | None = None
    """None: the challengers have their shares side by side, under the settings' name and salt."""
    kept: tuple[Path, ...] = ()
    """Bundles that are open and warm, and neither answer nor shadow: to serve them is a swap and no load."""

    def folders(self) -> list[Path]:
        """The folders of all bundles, each once, the champion's first."""
        beside = (one.folder for one in self.challengers)
        return list(dict.fromkeys((self.champion, *beside, *self.kept)))


@dataclass(frozen=True, slots=True)
class Dealt:
    """The bundle that answers a request, and as which arm of which experiment."""

    deployment: Deployment
    exposure: Exposure | None = None


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
    dealing: RunningExperiment | None = None
    """Where the units of the challengers are; None without a share"""
    is_experiment: bool = False
    kept: tuple[Deployment, ...] = ()
    _dealt: Mapping[str | None, Dealt] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arms: dict[str | None, Deployment] = {None: self.champion}
        arms |= {one.deployment.label: one.deployment for one in self.challengers if one.share is not None}
        dealt = {arm: Dealt(deployment, self.exposure(arm)) for arm, deployment in arms.items()}
        object.__setattr__(self, "_dealt", dealt)

    @property
    def experiment(self) -> RunningExperiment | None:
        """The experiment that deals the units, if one runs."""
        return self.dealing if self.is_experiment else None

    def exposure(self, arm: str | None) -> Exposure | None:
        """What the events say of an arm, the label of a challenger or of a shadow; None: the control."""
        running = self.experiment
        return None if running is None else Exposure(running.name, arm or CONTROL, running.stratum)

    def dealt(self, unit: str) -> Dealt:
        """What a unit gets."""
        if self.dealing is None:
            return self._dealt[None]
        return self._dealt.get(self.dealing.arm_of(unit)) or self._dealt[None]

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Those beside the champion; one that has become the champion is left out while it is."""
        return tuple(one for one in self.planned if one.deployment.label != self.champion.label)

    def opened(self) -> dict[Path, Deployment]:
        """Every loaded bundle by its folder."""
        every = (self.champion, *(other.deployment for other in self.planned), *self.kept)
        return {one.folder.resolve(): one for one in every}


def label_of(folder: Path) -> str:
    """`name:version` of the bundle in a folder. Raises BundleError."""
    manifest = read_manifest(folder)
    return f"{manifest.name}:{manifest.version}"


class Deployments:
    """The line-up that serves, and the prepared one, if any."""

    def __init__(self, settings: Settings, lineup: Lineup) -> None:
        self._settings = settings
        self._lineup = lineup
        self._prepared: Lineup | None = None

    @classmethod
    def open(
        cls,
        settings: Settings,
        experiment: RunningExperiment | None = None,
        kept: Sequence[Path] = (),
    ) -> Deployments:
        """Load the settings' bundle and its challengers, which `experiment` deals the units to, if one runs.

        `kept`: folders of bundles to have open besides; one that cannot be opened keeps no service from
        starting. Raises as `deployment_for` does.
        """
        plan = LineupPlan(settings.bundle, settings.challengers, experiment)
        deployments = cls(settings, _open(settings, plan, {}))
        for folder in kept:
            deployments._keep_open(folder)
        return deployments

    @property
    def champion(self) -> Deployment:
        """The bundle that answers every unit outside the challengers' shares."""
        return self._lineup.champion

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Those beside the champion; one that has become the champion is left out while it is."""
        return self._lineup.challengers

    @property
    def experiment(self) -> RunningExperiment | None:
        """The experiment that deals the units, if one runs."""
        return self._lineup.experiment

    @property
    def shadows(self) -> list[Dealt]:
        """The bundles that compute and never answer."""
        lineup = self._lineup
        shadows = [challenger.deployment for challenger in lineup.challengers if challenger.share is None]
        return [Dealt(one, lineup.exposure(one.label)) for one in shadows]

    def answering(self, unit: str) -> Dealt:
        """The bundle that answers this unit."""
        return self._lineup.dealt(unit)

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

    def _keep_open(self, folder: Path) -> None:
        plan = LineupPlan(folder)
        try:
            opened = _open(self._settings, plan, self._lineup.opened()).champion
        except (BundleError, EngineError, OSError) as error:
            logger.warning("bundle_not_kept_open", folder=folder.name, why=str(error))
            return
        self._lineup = replace(self._lineup, kept=(*self._lineup.kept, opened))

    @property
    def kept(self) -> list[str]:
        """Labels of the bundles that are open and neither answer nor shadow."""
        return [one.label for one in self._lineup.kept]

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
    dealing = plan.experiment or _side_by_side(settings, champion, challengers)
    kept = tuple(deployment(folder) for folder in plan.kept)
    lineup = Lineup(champion, tuple(challengers), dealing, plan.experiment is not None, kept)
    if plan.experiment is not None:
        _require_arms(lineup, plan.experiment)
    return lineup


def _side_by_side(
    settings: Settings, champion: Deployment, challengers: Sequence[Challenger]
) -> RunningExperiment | None:
    """The dealing while no experiment runs; a champion that is planned as a challenger too has no share."""
    shares = {
        one.deployment.label: one.share
        for one in challengers
        if one.share is not None and one.deployment.label != champion.label
    }
    if not shares:
        return None
    return RunningExperiment(settings.experiment, settings.experiment_salt, 0, Dealing.of(shares))


def _require_arms(lineup: Lineup, experiment: RunningExperiment) -> None:
    """Raise BundleError if a challenger is another bundle than the one that the units were dealt to."""
    shares = {one.deployment.label for one in lineup.challengers if one.share is not None}
    for arm in experiment.dealing.shares():
        if arm not in shares:
            raise BundleError(
                MANIFEST_FILE,
                f"the experiment {experiment.name} deals units to {arm}, and the line-up holds "
                f"{', '.join(sorted(shares)) or 'no challenger'}: a folder holds another bundle than at the "
                "start; stop the experiment and start another",
            )


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
