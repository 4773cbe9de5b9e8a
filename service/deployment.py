"""A bundle as it serves: loaded, with what every response says about it worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.decode import DecodeLimits
from bundle.engine import DEFAULT_ENGINE, DEFAULT_PRECISION
from bundle.manifest import MANIFEST_FILE, BundleError
from bundle.runner import CascadeRunner
from bundle.store import LoadedBundle, load_bundle
from calibration.decision import OperatingPoint
from service.experiment import arm_of
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Deployment:
    """One loaded bundle. A request takes the current one when it begins and keeps it to its end."""

    folder: Path
    name: str
    version: str
    classes: tuple[str, ...]
    engine: str
    """Engine and precision that compute here: `onnxruntime-cpu/fp32`."""
    runner: CascadeRunner
    point: OperatingPoint
    guarantee: Mapping[str, Any] | None
    """What is promised of the answers; None where nothing is, and `guarantee_reason` says why."""
    guarantee_reason: str | None
    promise: str
    """The same in one plain sentence."""

    @property
    def label(self) -> str:
        """`name:version`, as metrics and windows know it."""
        return f"{self.name}:{self.version}"

    @classmethod
    def of(cls, loaded: LoadedBundle) -> Deployment:
        guarantee, reason = _guarantee(loaded)
        certificate = loaded.certificate
        return cls(
            folder=loaded.folder,
            name=loaded.manifest.name,
            version=loaded.manifest.version,
            classes=loaded.manifest.classes,
            engine=loaded.key,
            runner=loaded.runner,
            point=loaded.operating_point,
            guarantee=guarantee,
            guarantee_reason=reason,
            promise=certificate.sentence() if certificate is not None else f"No promise: {reason}.",
        )


def deployment_for(settings: Settings) -> Deployment:
    """Verify and open the settings' bundle and try its golden cases; the models are warm afterwards.

    Raises bundle.store.BundleError naming the file, or bundle.engine.EngineUnavailable.
    """
    # One thread a call: several calls at a time on one thread each do more than one call on several.
    loaded = load_bundle(
        settings.bundle,
        engine=settings.engine or DEFAULT_ENGINE,
        precision=settings.precision or DEFAULT_PRECISION,
        threads=1,
        limits=DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_pixels),
    )
    return Deployment.of(loaded)


@dataclass(frozen=True, slots=True)
class Challenger:
    """A bundle beside the champion."""

    deployment: Deployment
    share: float | None
    """Of the units that it answers; None: it is in the shadow."""


class Deployments:
    """Which bundle answers now, and the one that is about to.

    A change has two steps, so that several workers can change as one: `prepare` does all that may fail,
    beside the serving bundle; `commit` only swaps, between two requests.
    """

    def __init__(
        self, settings: Settings, champion: Deployment, challengers: Sequence[Challenger] = ()
    ) -> None:
        self.champion = champion
        self._challengers = tuple(challengers)
        self._settings = settings
        self._prepared: Deployment | None = None

    @classmethod
    def open(cls, settings: Settings) -> Deployments:
        """The settings' bundle and its challengers; raises as `deployment_for` does."""
        champion = deployment_for(settings)
        challengers: list[Challenger] = []
        for spec in settings.challengers:
            deployment = deployment_for(settings.model_copy(update={"bundle": spec.folder}))
            _refuse_unlike(champion, deployment)
            if any(deployment.label == other.deployment.label for other in challengers):
                raise BundleError(MANIFEST_FILE, f"{deployment.label} is a challenger twice")
            challengers.append(Challenger(deployment, spec.share))
        return cls(settings, champion, challengers)

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Those beside the champion; one that has become the champion is none while it is."""
        return tuple(
            challenger
            for challenger in self._challengers
            if challenger.deployment.label != self.champion.label
        )

    @property
    def shadows(self) -> list[Deployment]:
        """Those that compute and never answer."""
        return [challenger.deployment for challenger in self.challengers if challenger.share is None]

    def answering(self, unit: str) -> Deployment:
        """The one that answers this unit."""
        if not self._challengers:
            return self.champion
        arms = [(one.deployment, one.share) for one in self.challengers if one.share is not None]
        arm = arm_of(
            [share for _, share in arms], self._settings.experiment, self._settings.experiment_salt, unit
        )
        return self.champion if arm is None else arms[arm][0]

    def prepare(self, folder: Path) -> Deployment:
        """Open the bundle in `folder`; raises as `deployment_for` does, with nothing changed."""
        self._prepared = None
        deployment = deployment_for(self._settings.model_copy(update={"bundle": folder}))
        for challenger in self._challengers:
            _refuse_unlike(challenger.deployment, deployment)
        self._prepared = deployment
        return deployment

    def commit(self) -> None:
        """Let the prepared bundle answer from the next request on; nothing without a prepared one."""
        if self._prepared is not None:
            self.champion, self._prepared = self._prepared, None

    def abort(self) -> None:
        """Forget the prepared bundle."""
        self._prepared = None


def _refuse_unlike(one: Deployment, other: Deployment) -> None:
    if one.classes != other.classes:
        raise BundleError(
            MANIFEST_FILE,
            f"{other.label} knows {', '.join(other.classes)}, and {one.label} {', '.join(one.classes)}; "
            "bundles that serve side by side must know the same classes",
        )


def _guarantee(loaded: LoadedBundle) -> tuple[dict[str, Any] | None, str | None]:
    certificate = loaded.certificate
    if certificate is None:
        certified = ", ".join(entry.key for entry in loaded.manifest.certificates) or "no engine"
        return None, f"not certified here: this is {loaded.key}, the certificates hold on {certified}"
    if not certificate.feasible:
        return None, f"no certificate: {certificate.needed or 'it was not feasible'}"
    return {
        "kind": certificate.kind,
        "method": certificate.method,
        "alpha": certificate.alpha,
        "delta": certificate.delta,
        "population": certificate.population,
    }, None
