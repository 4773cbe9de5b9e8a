"""The fleet that a verb talks about: its registry, its name, and the store in which its services report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from demur.errors import InterfaceError
from service.environment import values_of, with_env_file

_OFF: Final = "off"
_SETTINGS: Final = ("registry", "follow", "redis_url", "data_dir")
_SCHEMES: Final = ("redis", "rediss", "unix")
_DATA_DIR: Final = "demur-data"


class NoRegistryNamed(InterfaceError, ValueError):
    """Nothing says where the registry is."""


class StoreUnusable(InterfaceError, ValueError):
    """The address of the store is none."""


class TargetUnknown(InterfaceError, ValueError):
    """What a bundle should become is no champion of a fleet."""


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What was given on the command line."""

    registry: str | None = None
    store: str | None = None
    fleet: str | None = None
    env_file: Path | None = None


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """Where a fleet is."""

    registry: Registry
    fleet: str | None
    """None: the registry's only one"""
    store: str | None
    """None: no service is seen"""

    @property
    def name(self) -> str:
        """Name of the fleet. Raises FleetUnknown, and other RegistryErrors."""
        return self.fleet or self.registry.only_fleet()


def fleet_place(options: FleetOptions, to: str = "champion") -> FleetPlace:
    """The place, by the options, the file and the environment. `to`: `champion` or `FLEET/champion`.

    Nothing is read from the registry. Raises NoRegistryNamed, StoreUnusable, TargetUnknown, FleetUnknown,
    SettingsError and AddressUnusable.
    """
    environment: Mapping[str, str] = os.environ
    if options.env_file is not None:
        environment = with_env_file(environment, options.env_file)
    found = values_of(environment, _SETTINGS)
    address = options.registry or found.get("registry")
    if not address:
        raise NoRegistryNamed(
            "the registry is not named; give --registry ADDRESS, a folder or s3://BUCKET/PREFIX, or set "
            "DEMUR_REGISTRY"
        )
    followed = found.get("follow", "").rpartition("/")[0]
    fleet = _target(to, options.fleet) or options.fleet or followed or None
    registry = open_registry(address)
    if fleet is not None:
        registry.fleet(fleet)  # What is no name of a fleet is refused before anything is pushed.
    return FleetPlace(registry, fleet, _store(options.store, found))


def _target(to: str, fleet: str | None) -> str | None:
    """The fleet in `FLEET/champion`, if there is one. Raises TargetUnknown."""
    named, slash, alias = to.rpartition("/")
    if alias != "champion" or (slash and not named):
        raise TargetUnknown(
            f"--to is {to!r}; it must be champion or FLEET/champion: `demur experiment` changes challengers, "
            "and `demur rollback` goes back to previous"
        )
    if named and fleet and named != fleet:
        raise TargetUnknown(f"--to is {to!r} and --fleet is {fleet!r}; they must name one fleet")
    return named or None


def _store(given: str | None, found: Mapping[str, str]) -> str | None:
    url = given or found.get("redis_url")
    if url is not None:
        scheme = url.partition("://")[0]
        if url != _OFF and scheme not in _SCHEMES:
            # Without the rest, which may hold a password.
            raise StoreUnusable(
                f"the store (--store, DEMUR_REDIS_URL) has the scheme {scheme[:20]!r}; it must be like "
                "redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///SOCKET, or be off"
            )
        return None if url == _OFF else url
    socket = Path(found.get("data_dir", _DATA_DIR)).resolve() / "valkey" / "valkey.sock"
    return f"unix://{socket}" if socket.is_socket() else None
