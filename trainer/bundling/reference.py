"""Reference of the drift signals: what val_select looks like, and how each policy decides on it.

The images are looked at once, while the source is open; margins and decisions follow from the scores that the
run folder keeps, so a new certificate needs no image.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bundle.images.appearance import appearance
from bundle.images.preprocess import preprocess
from bundle.reference import MAX_IMAGES, DriftReference
from bundle.runner import CascadeRunner
from bundle.signals import output_rows, projected
from calibration.decision import OperatingPoint
from calibration.drift.signals import SignalRow, SignalSample
from calibration.scores import IntArray
from trainer.data.images import ImageSource
from trainer.run.console import RunConsole
from trainer.run.digests import DamagedFile, damage
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.scoring.split_scores import SplitScores


def keep_signals(
    source: ImageSource,
    rows: IntArray,
    select: SplitScores,
    runner: CascadeRunner,
    run: RunFolder,
    console: RunConsole,
) -> None:
    """Write what images of val_select look like into the run folder.

    `rows`: of the source, in the order of `select`. One random image of each group, and not more than a
    reference holds: the tests of drift count independent images.
    """
    chosen = _one_per_group(select)

    def look(place: int) -> SignalRow:
        return _look(runner, source.read(int(rows[place])))

    found = []
    with (
        console.bar("Drift reference", len(chosen)) as bar,
        ThreadPoolExecutor(runner.threads, thread_name_prefix="reference") as pool,
    ):
        for row in pool.map(look, chosen.tolist()):
            found.append(row)
            bar.advance(1)
    sample = SignalSample.of(found)
    write_json(run.signals, {"digest": select.digest, "rows": chosen.tolist(), "images": sample.to_values()})


def drift_reference(
    run: RunFolder, policies: Mapping[str, tuple[SplitScores, OperatingPoint]]
) -> DriftReference | None:
    """The reference of a bundle; `policies`: scores of val_select and operating point of each engine and
    precision.

    None for a run that looked at no image: of a version that kept no signals, or without val_select.
    """
    if not run.signals.is_file():
        return None
    rows, digest, images = _read(run.signals)
    outputs = {}
    for key, (select, point) in policies.items():
        if select.digest != digest or (len(rows) and rows.max() >= len(select)):
            return None
        chosen = [stage.take(rows) for stage in select.stages]
        outputs[key] = SignalSample.of(output_rows(chosen, point))
    return DriftReference(images, outputs)


def _look(runner: CascadeRunner, encoded: bytes) -> SignalRow:
    pixels = runner.pixels(encoded)
    last = runner.stages[-1]
    embedding = None
    if last.model.has_embedding:
        _, embedding = last.model.run_with_embedding(preprocess(pixels, last.preprocess)[None])
    vector = None if embedding is None else projected(embedding)[0].tolist()
    return SignalRow(appearance(encoded, pixels), {}, float("nan"), vector)


def _one_per_group(select: SplitScores) -> IntArray:
    """Places of one random image of each group, in their order; a random part of them if there are many."""
    order = np.random.default_rng(0).permutation(len(select))
    if select.groups is not None:
        order = order[np.unique(select.groups[order], return_index=True)[1]]
        order = np.random.default_rng(1).permutation(order)
    return np.sort(order[:MAX_IMAGES])


def _read(path: Path) -> tuple[IntArray, str, SignalSample]:
    values: Any = read_json(path)
    try:
        images = SignalSample.from_values(values["images"])
        rows = np.array(values["rows"], dtype=np.int64)
        if rows.shape != (len(images),):
            raise ValueError(f"{len(rows)} rows for {len(images)} images")
        return rows, str(values["digest"]), images
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        way_out = "remove it: the bundle is then written without a reference, and drift is off"
        raise DamagedFile(damage(path, repr(error), way_out)) from None
