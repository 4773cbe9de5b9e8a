"""Errors of the registry, below `bundle.errors.BundlePackageError`.

    RegistryError
    ├── AddressUnusable       the text is no address of a registry
    ├── NoRegistry            nothing at the address says that it is a registry
    ├── RegistryUnavailable   the store is slow, refuses, fails, or is full
    │   └── NotAStore         an answer is none of an object store's
    ├── Missing, Exists       a key is not there, or is there already; between a location and its users
    ├── RegistryUnfit         the store cannot hold a fleet, since it would let two writers win
    ├── RegistryDamaged       a record or a file is not what was written
    ├── RegistryTooNew        a later version of demur has written it
    ├── RecordRefused         a record that no reader would take is not written
    ├── Overtaken             another writer has written this generation; in `fleet_log`, which raises it
    ├── NothingToRollBack     the fleet has no former champion
    ├── NotInLineup           the line-up has no such challenger
    ├── NoSuchPromotion       no promotion runs, or it does not wait for this decision
    ├── BundleNotFound        the registry has no such bundle
    │   └── AliasNowhere      no record has the alias, or its bundle is gone
    ├── NoRoom                the folder that a bundle is pulled into does not take it
    └── FleetUnknown          no fleet of this name, or several to choose from

A message names the address without its passwords, what failed, and the way out.
"""

from __future__ import annotations

from bundle.errors import BundlePackageError


class RegistryError(BundlePackageError):
    """The registry does not give or take what was asked for."""


class AddressUnusable(RegistryError):
    """The text is no address of a registry."""


class NoRegistry(RegistryError):
    """Nothing at the address says that it is a registry."""


class RegistryUnavailable(RegistryError):
    """The store is slow, refuses, fails, or is full; the same call may succeed later."""


class RegistryUnfit(RegistryError):
    """The store cannot hold the records of a fleet: it would let two writers win."""


class RegistryDamaged(RegistryError):
    """A record or a file in the registry is not what was written."""


class RegistryTooNew(RegistryError):
    """A later version of demur has written the record in a form that this one does not read."""


class RecordRefused(RegistryError):
    """A record that no reader would take; nothing was written."""


class NothingToRollBack(RegistryError):
    """The fleet has no former champion that it could go back to."""


class NotInLineup(RegistryError):
    """The line-up has no such challenger."""


class NoSuchPromotion(RegistryError):
    """No promotion runs, or it does not wait for this decision."""


class BundleNotFound(RegistryError):
    """The registry has no such bundle."""


class AliasNowhere(BundleNotFound):
    """No record has the alias, or the bundle that it names is not in the registry."""


class NoRoom(RegistryError):
    """The folder that a bundle is pulled into does not take it."""


class FleetUnknown(RegistryError):
    """The registry has no fleet of this name, or several to choose from."""
