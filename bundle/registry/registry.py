"""Registry: bundles by digest, and the fleets that serve them, in a folder or an object store."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bundle.registry import keys
from bundle.registry.bundle_record import BundleRecord
from bundle.registry.collect import Collection, Sparing, collect, plan_collection
from bundle.registry.errors import AliasNowhere, BundleNotFound, FleetUnknown, RegistryDamaged, RegistryTooNew
from bundle.registry.fleet_log import READERS, FleetLog
from bundle.registry.generation import Ref
from bundle.registry.location import Location, Missing
from bundle.registry.marker import Marker
from bundle.registry.names import is_alias, matching, split_alias
from bundle.registry.pull import pull_bundle
from bundle.registry.push import push_bundle, read_record, verified_bundle
from bundle.registry.shelf import Shelf
from bundle.registry.transfer import Progress, unseen
from bundle.signing.policy import SignaturePolicy


class Registry:
    """One registry. Nothing is read or written before it is asked for, so that a store that is away for a
    while keeps no service from starting."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._marker = Marker(location)

    @property
    def address(self) -> str:
        """Where it is, for messages; without passwords."""
        return self.location.address

    def push(
        self,
        folder: Path,
        by: str,
        trust: SignaturePolicy | None = None,
        *,
        repair: bool = False,
        on: Progress = unseen,
    ) -> Ref:
        """Verify the bundle in `folder` and put it into the registry; see `push_bundle`. The first one makes
        the place a registry."""
        bundle = verified_bundle(folder, by, trust)
        self._marker.claim()
        return push_bundle(self.location, bundle, repair=repair, on=on).ref

    def pull(
        self, digest: str, into: Path, trust: SignaturePolicy | None = None, *, on: Progress = unseen
    ) -> Path:
        """The folder `into`/`digest` with the bundle in it, verified; see `pull_bundle`."""
        self._marker.require()
        return pull_bundle(self.location, digest, into, trust=trust, on=on)

    def bundle(self, digest: str) -> BundleRecord:
        """The record of a bundle. Raises BundleNotFound."""
        self._marker.require()
        try:
            return read_record(self.location, digest)
        except Missing:
            raise BundleNotFound(f"{self.address} has no bundle {digest}") from None

    def has(self, digest: str) -> bool:
        """Whether the bundle is in the registry, whole."""
        try:
            self.bundle(digest)
        except BundleNotFound:
            return False
        return True

    def bundles(self) -> list[BundleRecord]:
        """Every bundle that is whole, the latest at the end; see `shelf` for the others."""
        return list(self.shelf().records)

    def shelf(self) -> Shelf:
        """Every bundle, among them those whose record cannot be read or is not there."""
        self._marker.require()
        names = self.location.names(keys.BUNDLES)
        records, unreadable, unfinished = [], {}, []
        with ThreadPoolExecutor(READERS) as pool:
            for digest, found in pool.map(self._looked_at, filter(keys.is_digest, names)):
                if isinstance(found, BundleRecord):
                    records.append(found)
                elif isinstance(found, str):
                    unreadable[digest] = found
                elif found:
                    unfinished.append(digest)
        return Shelf(tuple(sorted(records, key=lambda one: one.at)), unreadable, tuple(unfinished))

    def collection(self, sparing: Sparing, now: float) -> Collection:
        """What a collection would delete now; see `plan_collection`."""
        return plan_collection(self.location, self.shelf(), self._logs(), sparing, now)

    def collect(self, planned: Collection) -> Collection:
        """Delete what `planned` says; see `collect.collect`."""
        self._marker.require()
        return collect(self.location, self._logs(), planned)

    def resolve(self, text: str, fleet: str | None = None) -> Ref:
        """The bundle that `text` names: an alias, `FLEET/ALIAS`, a digest, or what `names.matching` takes.

        `fleet`: whose alias is meant; None: that of the registry's only one. Raises BundleNotFound, which
        says what there is, AliasNowhere and FleetUnknown.
        """
        named, alias = split_alias(text)
        if named is not None or is_alias(alias):
            return self._alias(alias, named or fleet or self.only_fleet())
        if keys.is_digest(text):
            return self.bundle(text).ref
        return matching(text, [record.ref for record in self.bundles()], self.address)

    def fleets(self) -> list[str]:
        """Names of the fleets, in alphabetical order."""
        self._marker.require()
        return [name for name in self.location.names(keys.FLEETS) if keys.is_name(name)]

    def reports(self, fleet: str, promotions: Iterable[str]) -> dict[str, str]:
        """Promotion -> place of its report, for those of `promotions` that have one."""
        self._marker.require()
        found = {}
        for name in sorted(promotions):
            key = keys.promotion_report(fleet, name)
            if key.rpartition("/")[2] in self.location.names(key.rpartition("/")[0]):
                found[name] = self.location.place(key)
        return found

    def fleet(self, name: str) -> FleetLog:
        """The log of a fleet, which may be empty. Raises FleetUnknown for what is no name of one."""
        return FleetLog(self.location, name, self._marker)

    def only_fleet(self) -> str:
        """The one fleet of the registry. Raises FleetUnknown if there is none, or several."""
        names = self.fleets()
        if len(names) != 1:
            there = (
                f"has the fleets {', '.join(names[:20])}; name one of them"
                if names
                else "has no fleet yet; `demur promote` begins one"
            )
            raise FleetUnknown(f"{self.address} {there}")
        return names[0]

    def _looked_at(self, digest: str) -> tuple[str, BundleRecord | str | bool]:
        """Its record, or why that cannot be read, or whether there is anything without a record."""
        try:
            return digest, read_record(self.location, digest)
        except Missing:
            # Some stores go on naming a folder that holds nothing more.
            return digest, bool(self.location.objects(keys.bundle_prefix(digest)))
        except (RegistryDamaged, RegistryTooNew) as error:
            return digest, str(error)

    def _logs(self) -> list[FleetLog]:
        return [self.fleet(name) for name in self.fleets()]

    def _alias(self, alias: str, fleet: str) -> Ref:
        newest = self.fleet(fleet).newest()
        aliases = {} if newest is None else newest.aliases()
        if (ref := aliases.get(alias)) is None:
            there = f"; its aliases: {', '.join(aliases)}" if aliases else " yet, since nothing serves in it"
            raise AliasNowhere(f"fleet {fleet} in {self.address} has no alias {alias[:100]!r}{there}")
        try:
            self.bundle(ref.digest)
        except BundleNotFound:
            raise AliasNowhere(
                f"{alias} of fleet {fleet} is {ref.label} ({ref.digest}), which is not in {self.address}; "
                "push that bundle again with `demur registry push`, or roll back"
            ) from None
        return ref
