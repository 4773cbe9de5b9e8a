"""The images of a configuration, opened and split, with their notices on the console."""

from __future__ import annotations

import numpy as np

from calibration.certificate import class_intervals
from calibration.scores import IntArray
from trainer.data.config import DataConfig, SplitConfig
from trainer.data.faults import PreparedData
from trainer.data.folder_splits import splits_by_role
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.data.splits import (
    ERRORS_AT_START,
    ERRORS_WHEN_PRETRAINED,
    CalibrationNeed,
    SplitError,
    Splits,
    make_splits,
    rarest_share,
)
from trainer.run.console import RunConsole
from trainer.run.promise import PromiseConfig


def open_with_progress(data: DataConfig, console: RunConsole) -> ImageSource:
    """The source of `data`; rendering shows its progress. Raises `DataError`."""
    with console.bar("Opening the images", 1) as bar:
        source = open_source(
            data, on_progress=lambda done, total: bar.at(done, total, "Rendering street scenes")
        )
        bar.at(len(source), len(source))
    return source


def open_data(data: DataConfig, console: RunConsole) -> ImageSource:
    """The source of `data`, with its notices on the console. Raises `DataError`."""
    source = open_with_progress(data, console)
    if source.class_names:
        named = ", ".join(f"{number} = {name}" for number, name in enumerate(source.class_names))
        console.note(f"Classes in this order: {named}")
    for notice in source.notices:
        console.notice(notice.message, notice.level)
    return source


def split_data(
    data: PreparedData, sizes: SplitConfig, promise: PromiseConfig, *, seed: int, pretrained: bool
) -> Splits:
    """The splits of a training run; `pretrained`: stage B starts from pretrained weights.

    Pretraining and comparisons draw their splits here too, so that no image that a backbone learns from is
    used for a test or a certificate later.
    """
    labels = data.source.labels
    need = calibration_need(labels, promise, pretrained=pretrained)
    groups, roles, ids = data.source.groups, data.source.roles, data.pixels.content
    if roles is None:
        return make_splits(labels, groups, sizes.sizes() or need, seed=seed, ids=ids)
    if sizes.sizes() is not None:
        raise SplitError(
            "splits gives sizes, but data.splits is 'folders'; the folders decide: leave out one of the two"
        )
    return splits_by_role(labels, groups, roles, need, seed=seed, ids=ids)


def calibration_need(labels: IntArray, promise: PromiseConfig, *, pretrained: bool) -> CalibrationNeed:
    """What the promise needs of its calibration split; `labels`: [n], of all images."""
    return CalibrationNeed(
        promise.target,
        errors=ERRORS_WHEN_PRETRAINED if pretrained else ERRORS_AT_START,
        smallest_part=_smallest_part(labels, promise),
    )


def _smallest_part(labels: IntArray, promise: PromiseConfig) -> float:
    """Share of the calibration units that the part with the fewest of them gets."""
    if promise.each_answer:
        return rarest_share(labels)
    if promise.prevalence is None:
        return 1.0
    shares = np.bincount(labels) / len(labels)
    intervals = class_intervals(promise.prevalence)
    if len(intervals) == 1:
        ((low, high),) = intervals
        intervals = ((1.0 - high, 1.0 - low), (low, high))
    # The sample of a corner ends about where the class that it needs most of is used up.
    parts = [float(share) / high for share, (_, high) in zip(shares, intervals, strict=False) if high > 0.0]
    return min([1.0, *parts])
