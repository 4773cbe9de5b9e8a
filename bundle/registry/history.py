"""History of a fleet: what each alias pointed at, since when, who changed it, and from which promotion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bundle.registry.generation import CHALLENGER_PREFIX, Change, Generation, Ref


@dataclass(frozen=True, slots=True)
class Pointed:
    """What an alias points at."""

    bundle: Ref
    share: float | None = None
    """Of a challenger: share of the units; None: a shadow, or no challenger"""


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One alias at one change."""

    alias: str
    now: Pointed | None
    """None: the alias is gone"""
    before: Pointed | None
    generation: int
    """The first that says so"""
    change: Change

    def to_values(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def alias_changes(generations: Iterable[Generation]) -> Iterator[tuple[Generation, list[AliasChange]]]:
    """Each generation, in order, with the aliases that it has changed."""
    before: dict[str, Pointed] = {}
    for one in generations:
        now = _pointed(one)
        changed = [
            AliasChange(alias, now.get(alias), before.get(alias), one.number, one.change)
            for alias in dict.fromkeys((*now, *before))
            if now.get(alias) != before.get(alias)
        ]
        yield one, changed
        before = now


def standing_at(
    generations: Iterable[Generation], time: float
) -> tuple[Generation | None, list[AliasChange]]:
    """What served at `time` (Unix time, seconds), and for each alias of then the change that made it so.

    `generations`: in order, the first one first. (None, []) before the first.
    """
    passed: list[tuple[Generation, list[AliasChange]]] = []
    found = 0
    for one in alias_changes(generations):
        passed.append(one)
        # After a clock that was set back, the order of the records decides.
        found = len(passed) if one[0].change.at <= time else found
    standing: dict[str, AliasChange] = {}
    for _, changed in passed[:found]:
        standing |= {one.alias: one for one in changed}
    then = passed[found - 1][0] if found else None
    return then, [one for one in standing.values() if one.now is not None]


def _pointed(generation: Generation) -> dict[str, Pointed]:
    shares = {CHALLENGER_PREFIX + one.name: one.share for one in generation.challengers}
    return {alias: Pointed(ref, shares.get(alias)) for alias, ref in generation.aliases().items()}
