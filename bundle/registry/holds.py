"""Holds: why a bundle of a registry must stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bundle.registry.fleet_log import FleetLog
from bundle.registry.generation import Generation, Ref

_DAY: Final = 86_400.0


@dataclass(slots=True)
class Holds:
    """Digest -> the reasons for which the bundle stays, in the order in which they were found."""

    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, digest: str, reason: str) -> None:
        """Note one reason, once."""
        found = self.reasons.setdefault(digest, [])
        if reason not in found:
            found.append(reason)

    def of(self, digest: str) -> tuple[str, ...]:
        """The reasons for one bundle; empty: nothing holds it."""
        return tuple(self.reasons.get(digest, ()))


def held_by_fleet(holds: Holds, fleet: FleetLog, since: float) -> None:
    """Note what a fleet serves, and what it has served at any time from `since` on (Unix time, seconds).

    Raises a RegistryError if a record cannot be read: what it names must stay then.
    """
    newest: Generation | None = None
    before: Generation | None = None
    for generation in fleet.history():
        if generation.change.at < since:
            # It was in force until the next one came, which may have been after `since`.
            before = generation
        else:
            for one in filter(None, (before, generation)):
                _note_past(holds, fleet.name, one)
            before = None
        newest = generation
    if newest is not None:
        note_present(holds, fleet.name, newest)


def note_present(holds: Holds, fleet: str, newest: Generation) -> None:
    """Note what the newest record of a fleet names."""
    for alias, ref in newest.aliases().items():
        holds.add(ref.digest, f"{fleet}/{alias}")
    for ref in newest.former:
        holds.add(ref.digest, f"a rollback of {fleet} may go back to it")
    if newest.next is not None:
        holds.add(newest.next.digest, f"the services of {fleet} prepare it")
    if newest.promotion is not None:
        holds.add(newest.promotion.newcomer.digest, f"promotion {newest.promotion.id} of {fleet}")


def held_by_services(holds: Holds, services: Mapping[str, Iterable[str]]) -> None:
    """Note what running services have open; `services`: name -> digests."""
    for name, digests in services.items():
        for digest in digests:
            holds.add(digest, f"service {name} has it open")


def _note_past(holds: Holds, fleet: str, generation: Generation) -> None:
    for ref in served(generation):
        holds.add(ref.digest, f"generation {generation.number} of {fleet} is part of the history to be kept")


def served(generation: Generation) -> tuple[Ref, ...]:
    """The bundles that a record lets serve, prepare or promote; its earlier champions are not among them."""
    named = [ref for alias, ref in generation.aliases().items() if alias != "previous"]
    named += [] if generation.next is None else [generation.next]
    named += [] if generation.promotion is None else [generation.promotion.newcomer]
    return tuple(dict.fromkeys(named))
