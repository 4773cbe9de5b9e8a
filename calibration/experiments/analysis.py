"""Analysis of an experiment: all comparisons together, and what stands in the way of a conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.experiments.arms import ArmTable, ShadowPairs
from calibration.experiments.comparison import LEVEL, Comparison, Mode, compare
from calibration.experiments.labels import LabelComparison, labels_comparable
from calibration.experiments.metrics import METRICS
from calibration.experiments.multiplicity import conclude_together
from calibration.experiments.sample_ratio import SampleRatio, sample_ratio
from calibration.experiments.shadow_pairs import PairedComparison, mcnemar


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one challenger, concluded among all others."""

    comparison: Comparison
    adjusted_p_value: float
    """By Holm, over all metrics of all challengers"""


@dataclass(frozen=True, slots=True)
class ArmAnalysis:
    """All that is known of one challenger against the control."""

    arm: str
    figures: tuple[Figure, ...]
    labels: LabelComparison
    shadow: PairedComparison | None
    """Pairs of the time in which it was a shadow; None if there were none"""

    @property
    def conclusion(self) -> str:
        """better, worse, mixed, none, or inconclusive, from those of the figures."""
        found = {figure.comparison.conclusion for figure in self.figures}
        if {"better", "worse"} <= found:
            return "mixed"
        for one in ("worse", "better"):
            if one in found:
                return one
        return "none" if found == {"none"} else "inconclusive"


@dataclass(frozen=True, slots=True)
class Analysis:
    """An experiment so far."""

    mode: Mode
    level: float
    ratio: SampleRatio
    arms: tuple[ArmAnalysis, ...]

    @property
    def blocked(self) -> bool:
        """Whether the sample ratio forbids any conclusion."""
        return self.ratio.mismatch


@dataclass(frozen=True, slots=True)
class Terms:
    """What is compared, and how strictly."""

    mode: Mode = "anytime"
    metrics: tuple[str, ...] = tuple(METRICS)
    level: float = LEVEL
    margins: Mapping[str, float] | None = None
    """Smallest differences that matter, by metric; None, or left out: that of the metric"""


def analyse(
    table: ArmTable, terms: Terms | None = None, shadows: Mapping[str, ShadowPairs] | None = None
) -> Analysis:
    """Every challenger of a table against its control.

    A mismatch of the sample ratio makes everything inconclusive; labels that are not comparable, the metrics
    that read all labels. `shadows`: pairs by name of the challenger. Raises ValueError.
    """
    asked = terms or Terms()
    margins, pairs = asked.margins or {}, shadows or {}
    ratio = sample_ratio(table)
    labels = {arm: labels_comparable(table, arm) for arm in table.arms[1:]}
    single = [
        compare(table, name, asked.mode, arm=arm, level=asked.level, margin=margins.get(name))
        for arm in table.arms[1:]
        for name in asked.metrics
    ]
    together = [
        Figure(_unless_blocked(one, ratio, labels[one.arm]), p)
        for one, p in conclude_together(single, asked.level)
    ]
    return Analysis(
        asked.mode,
        asked.level,
        ratio,
        tuple(_arm(arm, together, labels[arm], pairs.get(arm), asked.level) for arm in table.arms[1:]),
    )


def _arm(
    arm: str, figures: Sequence[Figure], labels: LabelComparison, pairs: ShadowPairs | None, level: float
) -> ArmAnalysis:
    own = tuple(figure for figure in figures if figure.comparison.arm == arm)
    shadow = None if pairs is None or not len(pairs) else mcnemar(pairs, level)
    return ArmAnalysis(arm, own, labels, shadow)


def _unless_blocked(one: Comparison, ratio: SampleRatio, labels: LabelComparison) -> Comparison:
    if ratio.mismatch:
        reason = "the arms do not have the designed shares of the units (sample ratio mismatch)"
        return replace(one, conclusion="inconclusive", reason=reason)
    if labels.comparable is False and METRICS[one.metric].reads == "labels":
        return replace(one, conclusion="inconclusive", reason="labels of the arms are not comparable")
    return one
