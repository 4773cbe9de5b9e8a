"""Opening of a fleet at the start of a service: what its newest record says, or what was served last."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from bundle.manifest import BundleError
from bundle.registry.errors import RegistryError, RegistryUnavailable
from bundle.registry.generation import Generation
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from monitoring.experiments.definition import Definition, DefinitionUnreadable
from service.errors import ChangeRefused, FleetUnavailable
from service.following.followed_file import Followed, bundles_folder, following_folder, read_followed
from service.following.lineups import definition_of, plan_of, serving_refs
from service.following.pulled import PulledBundles
from service.lineup.lineup import LineupPlan
from service.settings import Settings

TIMEOUT: Final = 5.0
"""Seconds that one request to an object store may take"""
_TRIES: Final = 5
"""Tries to reach the registry if nothing was served before"""
_LOOK: Final = 1.0
"""Seconds between two looks for the first champion, and between two tries"""
_SAY: Final = 60.0
"""Seconds between two lines of the log that say that there is none"""

logger = structlog.get_logger("demur.following")

Try = Callable[[Path], object]
"""Tries whether a bundle can serve on this machine; raises ChangeRefused"""
_Refused = (RegistryError, BundleError, ChangeRefused, DefinitionUnreadable)


@dataclass(frozen=True, slots=True)
class OpenedFleet:
    """A fleet, and what this service begins to serve of it."""

    name: str
    registry: Registry
    pulled: PulledBundles
    generation: Generation
    plan: LineupPlan
    experiment: Definition | None
    kept: Mapping[str, float] = field(default_factory=dict)
    """Digests of former champions that were open -> until when"""
    stale: str | None = None
    """Why the registry was not followed, in one sentence"""

    def lineup(self) -> tuple[LineupPlan, Definition | None]:
        """What the workers begin with, and the experiment that runs in it."""
        return self.plan, self.experiment

    def sentence(self) -> str:
        """The fleet and its generation, for a person."""
        text = f"{self.name}, generation {self.generation.number}, of {self.registry.address}"
        return text if self.stale is None else f"{text}; stale, as it was served last: {self.stale}"

    def settings(self, settings: Settings) -> Settings:
        """The settings of a service that serves it."""
        return settings.model_copy(
            update={
                "bundle": self.plan.champion,
                "challengers": self.plan.challengers,
                "bundles": self.pulled.folder,
                "model": self.name,
            }
        )


@contextmanager
def opened_fleet(settings: Settings, try_bundle: Try) -> Iterator[OpenedFleet]:
    """The settings' fleet, with the data folder for this service alone.

    Waits for the first champion of a fleet that has none. Raises FleetUnavailable if there is nothing to
    serve, AddressUnusable, SettingsError, and OSError if the data folder cannot be written.
    """
    with _folder_alone(settings.data_dir):
        yield _Opening(settings, try_bundle).open()


class _Opening:
    def __init__(self, settings: Settings, try_bundle: Try) -> None:
        assert settings.registry is not None  # noqa: S101 - otherwise nothing is followed
        self._settings, self._try = settings, try_bundle
        self._registry = open_registry(settings.registry, timeout=TIMEOUT)
        self._pulled = PulledBundles(bundles_folder(settings.data_dir), self._registry, settings.trust())
        self._held = self._followed()

    def open(self) -> OpenedFleet:
        tries = _TRIES if self._held is None else 1
        while True:
            tries -= 1
            try:
                name = self._settings.followed_fleet or self._registry.only_fleet()
                opened = self._of(name, self._newest(name))
            except _Refused as error:
                if not tries or not isinstance(error, RegistryUnavailable):
                    return self._as_before(str(error))
                # With nothing to serve instead, an answer that comes late is better than none.
                logger.warning("registry_not_reached", why=str(error), tries_left=tries)
                time.sleep(_LOOK)
            else:
                self._settings.require_model_of(name)
                return opened

    def _newest(self, name: str) -> Generation:
        """The newest record, with its bundles here. Raises one of `_Refused`."""
        log, said = self._registry.fleet(name), -_SAY
        while (found := log.newest()) is None or found.champion is None:
            if time.monotonic() - said >= _SAY:
                said = time.monotonic()
                logger.warning(
                    "waiting_for_a_champion",
                    fleet=name,
                    registry=self._registry.address,
                    note=f"fleet {name} in {self._registry.address} has no champion yet; `demur promote` "
                    "gives it one, and this service starts then",
                )
            time.sleep(_LOOK)
        for ref in serving_refs(found):
            self._pulled.fetch(ref)
        held = self._held
        if held is not None and held.generation.champion != found.champion:
            # What has never served here must not end a service that could go on with what has.
            self._try(self._pulled.folder_of(found.champion))
        return found

    def _of(self, name: str, generation: Generation, stale: str | None = None) -> OpenedFleet:
        bundles = self._pulled.folder
        kept = {} if self._held is None else self._held.kept
        return OpenedFleet(
            *(name, self._registry, self._pulled, generation),
            *(plan_of(generation, bundles), definition_of(generation, bundles), kept, stale),
        )

    def _as_before(self, why: str) -> OpenedFleet:
        """What was served last. Raises FleetUnavailable."""
        held = self._held
        folder = following_folder(self._settings.data_dir)
        if held is None:
            raise FleetUnavailable(
                f"there is nothing to serve: {why}; and {folder} holds nothing that was served before. Start "
                "the registry, or name another in DEMUR_REGISTRY"
            )
        self._settings.require_model_of(held.fleet)
        champion, *others = serving_refs(held.generation)
        if not self._pulled.holds(champion):
            raise FleetUnavailable(
                f"there is nothing to serve: {why}; and {champion.label}, which was served last, is not in "
                f"{folder} as it was, or its signature is not trusted"
            )
        generation = held.generation
        if not all(map(self._pulled.holds, others)):
            generation = replace(generation, challengers=(), experiment=None)
        logger.error("registry_not_followed", fleet=held.fleet, generation=generation.number, why=why)
        return self._of(held.fleet, generation, why)

    def _followed(self) -> Followed | None:
        held, wanted = read_followed(self._settings.data_dir), self._settings.followed_fleet
        if held is None or held.generation.champion is None:
            return None
        if wanted not in (None, held.fleet):
            logger.warning("followed_another_fleet", before=held.fleet, now=wanted)
            return None
        return held


@contextmanager
def _folder_alone(data_dir: Path) -> Iterator[None]:
    """Raises FleetUnavailable if another service follows a registry in this data folder."""
    folder = following_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetUnavailable(
                f"the data folder {data_dir} is in use by another demur service that follows a registry; "
                "stop it, or name another folder with --data-dir"
            ) from None
        yield
