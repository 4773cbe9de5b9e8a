"""Pulled bundles: copies of the registry's bundles in the data folder, and how long each of them stays."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from bundle.registry.generation import Ref
from bundle.registry.keys import is_digest
from bundle.registry.pull import holds_bundle
from bundle.registry.registry import Registry
from bundle.signing.policy import SignaturePolicy

UNUSED: Final = 3600.0
"""Seconds after which a bundle that nothing needs is removed"""

logger = structlog.get_logger("demur.following")


class PulledBundles:
    """The bundles in one folder, each under its digest."""

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        trust: SignaturePolicy | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._registry, self._trust = registry, trust
        self._clock = clock
        self._needed_at: dict[str, float] = {}

    def folder_of(self, ref: Ref) -> Path:
        """Where a bundle lies, or would."""
        return self.folder / ref.digest

    def holds(self, ref: Ref) -> bool:
        """Whether the folder has the bundle, as it was pushed and with a signature that is trusted."""
        return holds_bundle(self.folder_of(ref), ref.digest, self._trust)

    def fetch(self, ref: Ref) -> Path:
        """The folder of a bundle, verified; it is pulled unless it is here. Raises a RegistryError, and a
        BundleError for a bundle whose signature is not trusted."""
        if self.holds(ref):
            return self.folder_of(ref)
        began = time.monotonic()
        folder = self._registry.pull(ref.digest, self.folder, self._trust)
        logger.info(
            "bundle_pulled",
            bundle=ref.label,
            digest=ref.digest,
            seconds=round(time.monotonic() - began, 2),
        )
        return folder

    def sweep(self, needed: Iterable[str]) -> None:
        """Remove the bundles that have not been among the digests `needed` for `UNUSED` seconds."""
        now, kept = self._clock(), set(needed)
        held = [entry for entry in _entries(self.folder) if is_digest(entry.name)]
        for entry in held:
            since = self._needed_at.setdefault(entry.name, now)
            if entry.name in kept:
                self._needed_at[entry.name] = now
            elif now - since > UNUSED:
                shutil.rmtree(entry, ignore_errors=True)
                del self._needed_at[entry.name]
                logger.info("bundle_removed", digest=entry.name, unused_seconds=round(now - since))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
