"""A bundle and the engine that will serve it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.engines.contract import EngineKey
from bundle.errors import BundlePackageError
from bundle.loader import LoadedBundle, load_bundle
from bundle.manifest import BundleManifest
from bundle.selection.choice import EnginePreference, choose_engine
from bundle.selection.issued import IssuedCertificates
from bundle.selection.timing_cache import TimingCache
from bundle.system.subprocess_call import Say
from bundle.verify import read_manifest
from deploy.errors import GateUndecided


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle on its engine; its failures say of which bundle they speak."""

    role: str
    """`newcomer` or `champion`"""
    folder: Path
    key: EngineKey

    def open(self) -> LoadedBundle:
        """The bundle with its models. Raises GateUndecided."""
        try:
            return load_bundle(self.folder, key=self.key)
        except (BundlePackageError, OSError) as error:
            raise _unopened(self.role, error) from error

    def manifest(self) -> BundleManifest:
        """Its manifest. Raises GateUndecided."""
        try:
            return read_manifest(self.folder)
        except (BundlePackageError, OSError) as error:
            raise _unopened(self.role, error) from error


def served_by(role: str, folder: Path, preference: EnginePreference, say: Say) -> Served:
    """The bundle on the engine that a service would choose for it here, timed if several may serve.

    Nothing is kept and nothing is certified. Raises GateUndecided.
    """
    try:
        choice = choose_engine(folder, preference, TimingCache(None), IssuedCertificates(None), say=say)
    except (BundlePackageError, OSError) as error:
        raise _unopened(role, error) from error
    return Served(role, folder, choice.key)


def _unopened(role: str, error: Exception) -> GateUndecided:
    return GateUndecided(f"the {role} cannot be opened: {error}")
