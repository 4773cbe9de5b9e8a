"""Record of a bundle in a registry: created last, so that a bundle without one is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import StringConstraints, TypeAdapter

from bundle.manifest import BundlePath, Count, Digest, Finite
from bundle.policy import KeyPart
from bundle.registry.errors import RegistryDamaged
from bundle.registry.generation import Ref, Who
from bundle.registry.records import decoded, encoded

Version = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a bundle in the registry."""

    sha256: Digest
    size: Count
    """Bytes"""


@dataclass(frozen=True, slots=True)
class BundleRecord:
    """A bundle in the registry."""

    digest: Digest
    """sha256 of its bundle.json"""
    name: KeyPart
    version: Version
    files: Mapping[BundlePath, StoredFile]
    """Every file of it, bundle.json among them"""
    at: Finite
    """When it was pushed: Unix time, seconds"""
    by: Who

    @property
    def ref(self) -> Ref:
        """The bundle as generations name it."""
        return Ref(self.digest, f"{self.name}:{self.version}")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def to_values(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return encoded(_ADAPTER, self)

    @classmethod
    def from_values(cls, values: Any, digest: str, what: str) -> Self:
        """Read what `to_values` gives, of the bundle `digest`. Raises RegistryDamaged and RegistryTooNew."""
        record = decoded(_ADAPTER, values, what)
        if record.digest != digest:
            raise RegistryDamaged(f"{what} is the record of bundle {record.digest}")
        return record  # type: ignore[return-value]  # the adapter is one of this class


_ADAPTER: Final = TypeAdapter(BundleRecord)
