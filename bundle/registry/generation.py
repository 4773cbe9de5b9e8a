"""Generation: one record of what a fleet serves, and why it changed to that.

The records of a fleet are numbered 1, 2, 3, ... and never change; the newest says what serves. Text that
another version has written is read by the rules of docs/adr/0030: an unknown field is left out, a later
`format` is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import Field, JsonValue, StringConstraints, TypeAdapter

from bundle.manifest import Count, Digest, Finite, PlainText
from bundle.policy import KeyPart
from bundle.registry.errors import RegistryDamaged
from bundle.registry.keys import MAX_GENERATION
from bundle.registry.records import decoded, encoded

MAX_FORMER: Final = 20
"""Former champions that a record names, the latest ones"""

CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"
CHALLENGER_PREFIX: Final = "challenger-"

Label = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}:[0-9a-f]{16}$")]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Who = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


@dataclass(frozen=True, slots=True)
class Ref:
    """A bundle of the registry."""

    digest: Digest
    """sha256 of its bundle.json, which names every other file by its own digest"""
    label: Label
    """`name:version`"""


@dataclass(frozen=True, slots=True)
class Challenger:
    """A bundle beside the champion."""

    name: KeyPart
    bundle: Ref
    share: Share | None
    """Share of the units that it answers; None: a shadow, which answers nothing"""


@dataclass(frozen=True, slots=True)
class Change:
    """When something was changed, by whom and why."""

    at: Finite
    """Unix time by the clock of the writer, seconds"""
    by: Who
    reason: PlainText
    promotion: KeyPart | None = None
    """The promotion that changed it"""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes to a promotion."""

    at: Finite
    """Unix time, seconds"""
    by: Who
    comment: PlainText


@dataclass(frozen=True, slots=True)
class PromotionState:
    """How far a promotion is; whoever comes next goes on from here or rolls back."""

    id: KeyPart
    newcomer: Ref
    phase: KeyPart
    step: Count
    term: Count
    """Fencing number: increased whenever another holder takes over"""
    holder: Who
    plan: Mapping[str, JsonValue]
    started: Change
    results: tuple[Mapping[str, JsonValue], ...] = ()
    """Outcomes of its gates so far"""
    approval: Approval | None = None
    why: PlainText | None = None
    """Why it was rolled back"""
    since: Finite = 0.0
    """Unix time at which its present step began, or at which it ended, seconds"""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a fleet serves from one change to the next."""

    number: Annotated[int, Field(ge=1, le=MAX_GENERATION)]
    champion: Ref | None
    """None: nothing serves yet"""
    change: Change
    former: tuple[Ref, ...] = ()
    """Former champions, the latest at the end: what a rollback goes back to"""
    challengers: tuple[Challenger, ...] = ()
    experiment: Mapping[str, JsonValue] | None = None
    """The definition of the running experiment"""
    next: Ref | None = None
    """The bundle that every service opens beside the champion"""
    promotion: PromotionState | None = None

    def aliases(self) -> dict[str, Ref]:
        """Alias -> bundle: `champion`, `previous`, and `challenger-NAME` for each challenger."""
        found = {} if self.champion is None else {CHAMPION: self.champion}
        if self.former:
            found[PREVIOUS] = self.former[-1]
        return found | {CHALLENGER_PREFIX + one.name: one.bundle for one in self.challengers}

    def bundles(self) -> tuple[Ref, ...]:
        """Every bundle that the record names, each once."""
        named = (*self.aliases().values(), *self.former)
        named += () if self.next is None else (self.next,)
        named += () if self.promotion is None else (self.promotion.newcomer,)
        return tuple(dict.fromkeys(named))

    def to_values(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return encoded(_ADAPTER, self)

    @classmethod
    def from_values(cls, values: Any, what: str = "the record") -> Self:
        """Read what `to_values` gives; `what`: the record, for messages. Raises RegistryDamaged and
        RegistryTooNew."""
        generation = decoded(_ADAPTER, values, what)
        _require_sense(generation, what)
        return generation  # type: ignore[return-value]  # the adapter is one of this class


_ADAPTER: Final = TypeAdapter(Generation)


def _require_sense(generation: Generation, what: str) -> None:
    """Raise RegistryDamaged for challengers that cannot serve beside each other."""
    names = [one.name for one in generation.challengers]
    if len(set(names)) != len(names):
        raise RegistryDamaged(f"{what}: challengers has names {names}; each may occur once")
    total = sum(one.share or 0.0 for one in generation.challengers)
    if total > 1.0 + 1e-9:
        raise RegistryDamaged(f"{what}: the shares of challengers sum to {total:g}; they may reach 1")
