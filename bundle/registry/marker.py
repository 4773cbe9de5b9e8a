"""Marker of a registry: the key that says that a place is one, and in which format.

To create it a second time is the probe whether the store honours exclusive creation.
"""

from __future__ import annotations

from typing import Final

from bundle.registry.errors import NoRegistry, RegistryTooNew, RegistryUnfit
from bundle.registry.keys import MARKER
from bundle.registry.location import Exists, Location, Missing
from bundle.registry.records import FORMAT, MAX_RECORD_BYTES, from_bytes, to_bytes

_CONTENT: Final = to_bytes({"format": FORMAT})


class Marker:
    """The marker of one registry, asked for once. What it does twice from two threads does no harm."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._known = False
        self._exclusive: bool | None = None

    def require(self) -> None:
        """Raise NoRegistry unless the place is a registry, and RegistryTooNew for one of a later format."""
        if self._known:
            return
        try:
            data = self._location.read(MARKER, MAX_RECORD_BYTES)
        except Missing:
            raise NoRegistry(
                f"{self._location.address} is no registry yet; `demur registry push BUNDLE` makes "
                "it one with its first bundle"
            ) from None
        what = f"{MARKER} in {self._location.address}"
        values = from_bytes(data, what)
        found = values.get("format") if isinstance(values, dict) else None
        if found != FORMAT:
            raise RegistryTooNew(
                f"{what} has format {found!r:.40}, and this demur reads format {FORMAT}: run the version of "
                "demur that made the registry"
            )
        self._known = True

    def claim(self) -> None:
        """Make the place a registry if it is none. Raises as `require` does."""
        if self._exclusive is None:
            self._exclusive = self._refuses_second() or self._refuses_second()
            self.require()

    def claim_for_fleets(self) -> None:
        """As `claim`; raises RegistryUnfit for a store that would let two writers of one key win."""
        self.claim()
        if not self._exclusive:
            raise RegistryUnfit(
                f"{self._location.address} ignores conditions (If-None-Match), so two writers could both "
                "win; bundles can be kept there, what a fleet serves cannot: use a store with conditional "
                "writes, such as Amazon S3, MinIO or SeaweedFS, or a folder"
            )

    def _refuses_second(self) -> bool:
        """Create the marker; whether the store refused because it is there."""
        try:
            self._location.create(MARKER, _CONTENT)
        except Exists:
            return True
        return False
