"""Location: the store that a registry lies in, as keys and bytes.

A key is a path of plain names, separated by `/`. `create` is exclusive: of two writers of one key one is
told. That is all the synchronisation that a registry needs (docs/adr/0031). Every method raises
RegistryUnavailable for a store that is slow, refuses or fails, and is safe to call from several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bundle.registry.errors import RegistryError


class Missing(RegistryError):
    """The store has no such key."""


class Exists(RegistryError):
    """The store has this key already, and keeps what it holds."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A key, and what the store says of it."""

    key: str
    size: int
    """Bytes"""
    modified: float
    """Unix time by the store's clock, seconds"""


class Location(Protocol):
    """A store of a registry."""

    @property
    def address(self) -> str:
        """The place, for messages; without passwords."""

    def place(self, key: str) -> str:
        """Where a person finds a key: a path, or an address of the object store."""

    def read(self, key: str, limit: int) -> bytes:
        """The bytes of a key. Raises Missing, and RegistryDamaged for more than `limit` bytes."""

    def create(self, key: str, data: bytes) -> None:
        """Write a key that is not there, whole or not at all. Raises Exists."""

    def put(self, key: str, data: bytes) -> None:
        """Write a key, whole or not at all, whatever it held before."""

    def upload(self, key: str, chunks: Iterable[bytes], size: int) -> None:
        """Write `size` bytes as they come. What `chunks` raises goes through, and the key is as before."""

    def download(self, key: str) -> Iterator[bytes]:
        """The bytes of a key as they come. Raises Missing."""

    def names(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, in alphabetical order."""

    def objects(self, prefix: str) -> list[StoredObject]:
        """Every key below `prefix`, in alphabetical order."""

    def delete(self, key: str) -> None:
        """Remove a key; one that is not there is no error."""
