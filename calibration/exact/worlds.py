"""One policy that keeps its promise in several worlds: at each corner of a box of class shares.

A world is a named sample of the calibration units (`calibration.exact.prevalence`), and a column of
`StepCounts`. All worlds are tested at every step, each at the full delta: "in some world the risk exceeds
alpha" is a union of hypotheses (intersection-union test, Berger 1982). The samples may share units, because
each test holds by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from calibration.bounds import fewest_answered
from calibration.certificate import UNRECORDED, Certificate, CertifiedOn, PromisedPart, RiskTarget
from calibration.exact.issuer import Issuer, Proven
from calibration.exact.path_test import PathTest, least_coverage, part_counts, walk_path
from calibration.exact.paths import PolicyPath
from calibration.exact.prevalence import Prevalence, WorldDraw, draw_key, draw_world, percent
from calibration.exact.strata import Parts
from calibration.groups import UNGROUPED, Sampling, independent_units
from calibration.scores import IntArray

PREVALENCE_METHOD = "exact fixed sequence, each end of the prevalence"
HUNDREDTH = 0.01
"""Distance of the shares that are tested inside of an interval whose ends were found on calibration labels"""


@dataclass(frozen=True, slots=True)
class World:
    """A sample of the world with given class shares, and its name in messages."""

    name: str
    draw: WorldDraw


@dataclass(frozen=True, slots=True)
class Worlds:
    """The worlds in each of which a promise must hold, as samples of one set of units."""

    prevalence: Prevalence
    corners: tuple[World, ...]
    between: tuple[World, ...] = ()
    """Further worlds that are tested, inside of the box"""

    @classmethod
    def drawn(cls, prevalence: Prevalence, classes: IntArray, key: Sequence[int]) -> Self:
        """Samples for the corners of `prevalence`; classes [n] of the units, `key` by
        `draw_key`.

        If the ends were found on the labels of the units, every hundredth between them is tested too: the two
        hundredths beside the true share do not depend on labels, and a policy that is wrong too often at the
        true share is so at one of them.
        """

        def world(shares: list[float]) -> World:
            return World(prevalence.name_of(shares), draw_world(classes, shares, key))

        corners = prevalence.corners().tolist()
        between = _hundredths(*prevalence.box[1]) if prevalence.found else []
        return cls(prevalence, tuple(map(world, corners)), tuple(world([1.0 - p, p]) for p in between))

    @property
    def tested(self) -> tuple[World, ...]:
        return (*self.corners, *self.between)

    def missing(self, classes: IntArray, target: RiskTarget, unit: str) -> str | None:
        """Why the samples cannot prove anything, whatever they answer; None if they may."""
        floor, start = (int(m) for m in fewest_answered([0, 1], target.alpha, target.delta))
        counts = np.bincount(classes, minlength=len(self.prevalence.classes))
        for world in self.tested:
            draw = world.draw
            if draw.rows is not None and draw.size >= floor:
                continue
            short = np.asarray(draw.wanted) > counts
            label = int(short.argmax()) if short.any() else _scarcest(counts, draw.shares)
            name, share = self.prevalence.classes[label], draw.shares[label]
            if draw.rows is None:
                return (
                    f"the sample of {draw.size} {unit}s at {world.name} asks for {draw.wanted[label]} {name} "
                    f"{unit}s, and there are {counts[label]}; such a draw is rare, and repeating it with "
                    f"another seed is another certificate: label more {name} {unit}s"
                )
            needed = math.ceil(start * share / max(target.min_coverage, 0.01))
            return (
                f"at {percent(share)} {name} {start} answers need about {needed} {name} {unit}s; there are "
                f"{counts[label]}"
            )
        return None

    def parts(self, n: int) -> tuple[IntArray, Parts]:
        """The rows of all samples one after the other, then all n units, which lie in no world."""
        samples = [world.draw.rows for world in self.tested if world.draw.rows is not None]
        codes = np.repeat([*range(len(samples)), -1], [*map(len, samples), n])
        names = tuple(world.name for world in self.tested)
        return np.concatenate([*samples, np.arange(n)]), Parts(names, "at", codes)


def _scarcest(counts: IntArray, shares: tuple[float, ...]) -> int:
    """The class that limits the size of a sample."""
    share = np.asarray(shares)
    return int(np.where(share > 0.0, counts / np.where(share > 0.0, share, 1.0), np.inf).argmin())


def _hundredths(low: float, high: float) -> list[float]:
    """Multiples of `HUNDREDTH` strictly between two shares."""
    steps = range(math.ceil(low / HUNDREDTH - 1e-6), math.floor(high / HUNDREDTH + 1e-6) + 1)
    inner = [round(step * HUNDREDTH, 6) for step in steps]
    return [share for share in inner if low + 1e-6 < share < high - 1e-6]


def certify_prevalence(
    path: PolicyPath,
    classes: IntArray,
    prevalence: Prevalence,
    target: RiskTarget,
    sampling: Sampling = UNGROUPED,
    *,
    test: PathTest,
    certified_on: CertifiedOn = UNRECORDED,
) -> Certificate:
    """Certify the last step of `path` up to which the risk is at most `target.alpha` at all these shares.

    classes [n], 0..K-1: the labels of the path's images. The certificate's `parts` are the corners with the
    counts on their samples; n, answered and errors count the calibration units as they are. With groups the
    class of a unit is that of its drawn frame. The certificate is infeasible,
    and says what is missing, if a class has too few units. ValueError for malformed input only.
    """
    units = independent_units(path.n, sampling)
    path, classes = path.take(units.rows), classes[units.rows]
    key = draw_key(sampling.seed, certified_on.split_digest, classes)
    worlds = Worlds.drawn(prevalence, classes, key)
    issuer = Issuer(PREVALENCE_METHOD, target, replace(units, seed=sampling.seed), certified_on)
    missing = worlds.missing(classes, target, units.name)
    if missing is not None:
        return _promising(issuer.infeasible(missing), prevalence)
    rows, parts = worlds.parts(path.n)
    walked = walk_path(path.take(rows), parts, target, test, target)
    if walked.last < 0:
        return _promising(issuer.infeasible(walked.shortfall(units.name)), prevalence)
    outcome = walked.path.outcome(walked.chosen)
    found = part_counts(parts, outcome)
    m, k = int(outcome.answered[-path.n :].sum()), int(outcome.wrong[-path.n :].sum())
    certificate = issuer.feasible(
        Proven(walked.path.threshold(walked.chosen), m, k, walked.proven_risk(found)),
        coverage_lower_bound=least_coverage(path, m, target.delta),
    )
    ends = found[: len(worlds.corners)]
    meets = all(part.coverage >= target.min_coverage for part in ends)
    return _promising(replace(certificate, meets_coverage=meets), prevalence, ends)


def _promising(
    certificate: Certificate, prevalence: Prevalence, ends: tuple[PromisedPart, ...] = ()
) -> Certificate:
    return replace(certificate, parts=ends, prevalence=prevalence.stated, prevalence_of=prevalence.stated_of)
