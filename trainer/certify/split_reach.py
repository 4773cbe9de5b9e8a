"""What the calibration split of a run can prove, said before anything is trained, charged or certified."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calibration.certificate import RiskTarget
from calibration.exact.prevalence import draw_size
from calibration.groups import independent_units
from calibration.planning.reach import (
    Reach,
    Typical,
    betting_reach,
    exact_reach,
    scrc_inductive_reach,
    scrc_transductive_reach,
    typical_certificate,
)
from calibration.scores import IntArray
from trainer.certify.scrc import CONFIDENCE_GRID, SET_GRID
from trainer.certify.shares import class_shares
from trainer.data.images import ImageSource
from trainer.data.labels import as_text
from trainer.data.splits import Splits
from trainer.run.console import RunConsole
from trainer.run.promise import PromiseConfig

ACCURACIES = (0.9, 0.95, 0.98)
"""Accuracies of the classifiers for which the split's figures are given"""
MOST_UNITS = 10**7
"""Largest data set that a sentence asks for"""

CalibrationOf = Callable[[int], int]
"""Units of all data -> units that calibration gets of them"""


@dataclass(frozen=True, slots=True)
class PartReach:
    """The limits of the promise in one part of the answers, or at one of several risks."""

    name: str
    """`answer 'dog'`, `light 'night'`, `alpha 0.02` or `40 % dog`; empty for one promise over all answers"""
    target: RiskTarget
    reach: Reach
    on_average: bool = False
    """The method promises in expectation only, with no confidence level"""

    @property
    def asked(self) -> str:
        """`at most 1 % wrong answers at 95 % confidence`, or `... on average over calibration draws`."""
        sure = f"at {100 * (1 - self.target.delta):g} % confidence"
        when = "on average over calibration draws" if self.on_average else sure
        return f"at most {_percent(self.target.alpha)} wrong answers {when}"


@dataclass(frozen=True, slots=True)
class SplitReach:
    """The limits of the whole promise on one calibration split."""

    unit: str
    """Singular: image or group"""
    units: int
    images: int
    parts: tuple[PartReach, ...]
    """Empty if no certificate is asked for"""
    units_in_all: int | None
    """Units of all data with which calibration gets the fewest that it needs; None if it does already, or if
    fixed sizes of the splits stand against it"""
    missing_in_all: int
    """Labelled units to add for that; 0 if none is missing or the number is not known"""
    typical: tuple[Typical, ...]
    """Of a promise over all answers by the exact test, if it can be made at all"""

    @property
    def worst(self) -> PartReach | None:
        """The part that lacks most; None if no certificate is asked for."""
        return max(self.parts, key=lambda part: part.reach.missing / part.reach.fewest, default=None)

    @property
    def possible(self) -> bool:
        """Whether the asked promise can be made at all."""
        return all(part.reach.missing == 0 for part in self.parts)

    def print(self, console: RunConsole) -> None:
        """Notes on the console; a warning if the promise cannot be made."""
        for line in self.lines():
            (console.note if self.possible else console.warn)(line)

    def lines(self) -> tuple[str, ...]:
        """The limits in plain words."""
        worst = self.worst
        if worst is None:
            return ("No certificate is asked for, so nothing will be promised.",)
        if not self.possible:
            return (self._shortfall(worst),)
        return (*(self._limits(part) for part in self.parts), *self._typical_line())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "possible": self.possible,
            "unit": self.unit,
            "units": self.units,
            "images": self.images,
            "units_in_all": self.units_in_all,
            "missing_in_all": self.missing_in_all,
            "parts": [
                {
                    "name": part.name,
                    "alpha": part.target.alpha,
                    "delta": part.target.delta,
                    **asdict(part.reach),
                    "missing": part.reach.missing,
                }
                for part in self.parts
            ],
            "typical": [asdict(one) for one in self.typical],
            "lines": list(self.lines()),
        }

    def _limits(self, part: PartReach) -> str:
        reach = part.reach
        where = f"For {part.name}: with about" if part.name else "With"
        units = f"{reach.units:,} calibration {self.unit}s"
        share = math.ceil(100 * reach.fewest / reach.units)
        return (
            f"{where} {units} a promise of {part.asked} can cover all images if at most "
            f"{reach.most_wrong} of them are answered wrongly; {reach.fewest:,} answered without an error "
            f"({share} %) are the least, and {_percent(_rounded_up(reach.smallest_alpha))} is the smallest "
            "risk that they could prove"
        )

    def _typical_line(self) -> Iterator[str]:
        if not self.typical:
            return
        accuracies = ", ".join(f"{100 * one.accuracy:g}" for one in self.typical)
        shares = ", ".join(f"{100 * one.coverage:.0f} %" if one.coverage else "none" for one in self.typical)
        chances = ", ".join(f"{100 * one.chance:.0f} %" for one in self.typical)
        yield (
            f"A typical classifier that is right on {accuracies} % of all images would be certified for "
            f"{shares} of them, in {chances} of draws"
        )

    def _shortfall(self, part: PartReach) -> str:
        reach = part.reach
        about = f" for {part.name}" if part.name else ""
        had = f"there are {'about ' if part.name else ''}{reach.units:,}"
        more = (
            f"about {self.missing_in_all:,} more labelled {self.unit}s in all would give calibration enough"
            if self.missing_in_all
            else f"{reach.missing:,} more calibration {self.unit}s are needed (splits.val_calib)"
        )
        alpha = _rounded_up(reach.smallest_alpha)
        smaller = (
            f"; or ask for a risk of {_percent(alpha)} or more, the smallest that these could prove, all of "
            f"them answered without an error: --alpha {alpha:g}"
            if alpha < 1.0
            else ""
        )
        return (
            f"No promise of {part.asked}{about} can be made on this split, whatever is trained: "
            f"{reach.fewest:,} calibration {self.unit}s answered without an error are the least, and {had}. "
            f"{more[0].upper()}{more[1:]}{smaller}"
        )


def split_reach(
    source: ImageSource, splits: Splits, promise: PromiseConfig, calibration_of: CalibrationOf | None
) -> SplitReach:
    """The limits of `promise` on val_calib. Reads groups and slices of it, and the shares of the classes in
    all data, but no label of val_calib by itself.

    `calibration_of`: how many units calibration gets of more data; None if its size is fixed.
    """
    rows = splits.val_calib
    groups = None if source.groups is None else source.groups[rows]
    drawn = independent_units(len(rows), promise.sampling(groups))
    units = len(drawn.rows)
    parts = tuple(_parts(source, rows[drawn.rows], promise, grouped=groups is not None))
    needed = max(
        (math.ceil(part.reach.fewest * units / max(part.reach.units, 1)) for part in parts), default=0
    )
    total = sum(splits.units.values())
    short = any(part.reach.missing for part in parts)
    in_all = _units_for(needed, total, calibration_of) if short and calibration_of is not None else None
    simple = promise.certificate == "exact" and len(parts) == 1 and not parts[0].name and not short
    return SplitReach(
        unit=drawn.name,
        units=units,
        images=len(rows),
        parts=parts,
        units_in_all=in_all,
        missing_in_all=0 if in_all is None else in_all - total,
        typical=tuple(typical_certificate(units, promise.target, accuracy) for accuracy in ACCURACIES)
        if simple
        else (),
    )


def _parts(
    source: ImageSource, rows: IntArray, promise: PromiseConfig, *, grouped: bool
) -> Iterator[PartReach]:
    """One entry per part that must hold; `rows`: those of the independent units."""
    target = promise.target
    if promise.certificate == "none":
        return
    if promise.alphas:
        share = promise.delta / len(promise.alphas)
        for alpha in promise.alphas:
            at = RiskTarget(alpha, share, target.min_coverage)
            yield PartReach(f"alpha {alpha:g}", at, _reach(len(rows), at, promise, grouped=grouped))
    elif promise.prevalence is not None:
        prevalence = class_shares(promise.prevalence, source.class_names)
        expected = np.bincount(source.labels, minlength=len(source.class_names)) / len(source) * len(rows)
        for corner in prevalence.corners().tolist():
            size = draw_size(np.floor(expected), corner)
            reach = _reach(size, target, promise, grouped=grouped)
            yield PartReach(prevalence.name_of(corner), target, reach)
    elif promise.each_answer:
        shares = np.bincount(source.labels, minlength=len(source.class_names)) / len(source)
        for name, part in zip(source.class_names, shares.tolist(), strict=True):
            count = round(part * len(rows))
            yield PartReach(f"answer {name!r}", target, _reach(count, target, promise, grouped=grouped))
    elif promise.slices:
        values, counts = np.unique(as_text(source.metadata[promise.slices][rows]), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            reach = _reach(count, target, promise, grouped=grouped)
            yield PartReach(f"{promise.slices} {value!r}", target, reach)
    else:
        reach = _reach(len(rows), target, promise, grouped=grouped)
        yield PartReach("", target, reach, on_average=promise.certificate == "scrc-t")


def _reach(units: int, target: RiskTarget, promise: PromiseConfig, *, grouped: bool) -> Reach:
    """The limits by the promised method; of the two ways to read groups, the one that needs fewer."""
    if promise.certificate == "scrc-i":
        return scrc_inductive_reach(units, target, CONFIDENCE_GRID, len(SET_GRID))
    if promise.certificate == "scrc-t":
        return scrc_transductive_reach(units, target)
    if grouped and promise.certificate == "exact" and promise.frames == "all":
        return betting_reach(units, target)
    return exact_reach(units, target)


def _units_for(needed: int, total: int, calibration_of: CalibrationOf) -> int | None:
    """The fewest units of all data of which calibration gets `needed`."""
    low, high = total, max(2 * total, 4 * needed, 16)
    if high > MOST_UNITS or calibration_of(high) < needed:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if calibration_of(middle) >= needed else (middle, high)
    return high


def _rounded_up(alpha: float) -> float:
    """The risk, rounded up to two significant digits."""
    if alpha >= 1.0 or alpha <= 0.0:
        return alpha
    unit = 10.0 ** (math.floor(math.log10(alpha)) - 1)
    return float(f"{math.ceil(alpha / unit - 1e-9) * unit:.2g}")


def _percent(risk: float) -> str:
    return f"{100 * risk:.3g} %"
