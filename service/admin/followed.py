"""The followed fleet as the private port sees it, and what becomes of the registry's errors here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from bundle.registry.errors import BundleNotFound, NoSuchPromotion, NothingToRollBack, RegistryError
from bundle.registry.fleet_log import Overtaken
from bundle.registry.generation import Generation, Ref
from monitoring.fleet.report import ServiceReport
from monitoring.store import contract
from service import errors
from service.admin.fleet_values import fleet_values


class FollowedFleet(Protocol):
    """A fleet in its registry. Every method may raise a RegistryError or, of the system, an OSError."""

    @property
    def name(self) -> str:
        """Name of the fleet."""

    @property
    def address(self) -> str:
        """Where the registry is, without passwords."""

    def newest(self) -> Generation | None:
        """What the fleet serves; None before its first record."""

    def change(self, build: Callable[[Generation | None], Generation]) -> Generation:
        """Write what `build` makes of the newest record, and call the services. Raises what `build` does."""

    def resolve(self, text: str) -> Ref:
        """The bundle of a label, a digest or an alias."""

    def reports(self) -> Sequence[ServiceReport]:
        """What the services say of themselves. Raises StoreUnavailable."""


def required(fleet: FollowedFleet | None) -> FollowedFleet:
    """The fleet. Raises NoRegistryFollowed."""
    if fleet is None:
        raise errors.NoRegistryFollowed
    return fleet


def values_of(fleet: FollowedFleet, newest: Generation | None) -> dict[str, Any]:
    """The fleet as `GET /fleet` shows it."""
    try:
        reports, unseen = list(fleet.reports()), None
    except (contract.StoreUnavailable, errors.StoreUnavailable) as error:
        reports, unseen = [], f"the services cannot be seen: {error}"
    return fleet_values(fleet.name, fleet.address, newest, reports, unseen)


@contextmanager
def registry_faults(bundle: str | None = None) -> Iterator[None]:
    """Inside, an error of the registry is one of the request. `bundle`: the one that was asked for."""
    try:
        yield
    except NothingToRollBack as error:
        raise errors.NothingToRollBack(str(error)) from error
    except NoSuchPromotion as error:
        raise errors.NoPromotion(str(error)) from error
    except BundleNotFound as error:
        raise errors.NoSuchBundle(str(error), field="bundle", value=bundle) from error
    except (Overtaken, errors.ChangeRefused) as error:
        raise errors.PromotionRefused(str(error)) from error
    except (RegistryError, OSError) as error:
        raise errors.RegistryAway(str(error)) from error
