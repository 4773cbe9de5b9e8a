"""Dealing of units to bundles: where a hash places a unit, and whose that place is.

A hash places a unit (a camera, a user) at the same point every time, on every worker and after every restart.
A dealing says which challenger has which segments of all points; the champion, the control of an experiment,
has what no segment covers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter
from typing import Final, Self

from monitoring.errors import MonitoringError

POINTS: Final = 2**53
"""Number of points; every one is exact as a float of JSON"""
_SLACK: Final = round(1e-9 * POINTS)
"""Points that shares may lack because they are rounded decimals"""


class ChangeImpossible(MonitoringError):
    """An experiment cannot begin, or change, in this way; the message says why and what helps."""


def point_of(experiment: str, salt: str, unit: str) -> int:
    """The point of a unit, 0 to `POINTS` - 1: the first 53 bits of SHA-256 of SALT:EXPERIMENT:UNIT.

    Another salt or another experiment places the units independently.
    """
    digest = sha256(f"{salt}:{experiment}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


@dataclass(frozen=True, slots=True)
class Segment:
    """Points from `begin` up to, not including, `end` that have been dealt to a challenger."""

    begin: int
    end: int
    arm: str
    serves: bool = True
    """False: the control has them again, and no other challenger ever gets them"""

    @property
    def length(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Dealing:
    """The segments of all challengers, in ascending order and disjoint.

    While shares change, no unit moves from one challenger to another, not even by way of the control: the
    answers of the first would still be felt in what is counted for the second.
    """

    segments: tuple[Segment, ...] = ()

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> Self:
        """Segments of these shares side by side, from the first point on. Raises ChangeImpossible."""
        dealing = cls()
        for arm, share in shares.items():
            dealing = dealing.changed(arm, share)
        return dealing

    def arm_at(self, point: int) -> str | None:
        """The challenger that has a point; None: the control."""
        index = bisect_right(self.segments, point, key=attrgetter("begin")) - 1
        if index < 0:
            return None
        segment = self.segments[index]
        return segment.arm if segment.serves and point < segment.end else None

    def length(self, arm: str) -> int:
        """Number of points that a challenger has."""
        return sum(one.length for one in self.segments if one.arm == arm and one.serves)

    def shares(self) -> dict[str, float]:
        """Share of each challenger that has points."""
        arms = dict.fromkeys(one.arm for one in self.segments if one.serves)
        return {arm: round(self.length(arm) / POINTS, 12) for arm in arms}

    def largest(self, arm: str) -> float:
        """The largest share that a challenger can have."""
        others = sum(one.length for one in self.segments if one.arm != arm)
        return (POINTS - others) / POINTS

    def changed(self, arm: str, share: float) -> Self:
        """With another share of one challenger, 0 to 1.

        It grows by points that it has had before, then by points that no challenger has had; it gives its
        highest points back to the control. Raises ChangeImpossible if there are too few.
        """
        more = round(share * POINTS) - self.length(arm)
        spare = round(self.largest(arm) * POINTS) - self.length(arm)
        if more > spare + _SLACK:
            raise ChangeImpossible(
                f"the share would be {share:g}, and at most {self.largest(arm):.6g} is possible: no unit "
                "moves from one challenger to another, not even from one that has been withdrawn; stop the "
                "experiment and start another, which deals all units anew"
            )
        pieces = list(self._grown(arm, min(more, spare)) if more > 0 else self._shrunk(arm, -more))
        return replace(self, segments=_joined(pieces))

    def _grown(self, arm: str, need: int) -> Iterator[Segment]:
        free = [Segment(begin, end, arm, False) for begin, end in self._gaps()]
        own = [one for one in self.segments if one.arm == arm and not one.serves]
        yield from (one for one in self.segments if one not in own)
        for idle in (*own, *free):
            taken = min(need, idle.length)
            need -= taken
            cut = idle.begin + taken
            yield replace(idle, end=cut, serves=True)
            if idle in own:
                yield replace(idle, begin=cut)

    def _shrunk(self, arm: str, less: int) -> Iterator[Segment]:
        for one in reversed(self.segments):
            given = min(less, one.length) if one.arm == arm and one.serves else 0
            less -= given
            cut = one.end - given
            yield replace(one, end=cut)
            yield replace(one, begin=cut, serves=False)

    def _gaps(self) -> Iterator[tuple[int, int]]:
        """The points that no challenger has had, ascending."""
        at = 0
        for one in self.segments:
            yield at, one.begin
            at = one.end
        yield at, POINTS


@dataclass(frozen=True, slots=True)
class RunningExperiment:
    """The experiment that deals the units."""

    name: str
    salt: str
    stratum: int
    """Number of the dealing, from 0"""
    dealing: Dealing

    def arm_of(self, unit: str) -> str | None:
        """The challenger that answers a unit; None: the control."""
        return self.dealing.arm_at(point_of(self.name, self.salt, unit))

    def changed(self, arm: str, share: float) -> Self:
        """With another share of one challenger, in a stratum of its own. Raises ChangeImpossible."""
        return replace(self, stratum=self.stratum + 1, dealing=self.dealing.changed(arm, share))


def _joined(pieces: list[Segment]) -> tuple[Segment, ...]:
    """The pieces in ascending order, without empty ones, and neighbours of one kind in one."""
    found: list[Segment] = []
    for piece in sorted((one for one in pieces if one.length), key=attrgetter("begin")):
        last = found[-1] if found else None
        if last is not None and (last.end, last.arm, last.serves) == (piece.begin, piece.arm, piece.serves):
            found[-1] = replace(last, end=piece.end)
        else:
            found.append(piece)
    return tuple(found)
