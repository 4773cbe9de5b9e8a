"""The engines and precisions that are faster on this machine than the run's own, before any label is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import DEFAULT_KEY, EngineError, EngineKey
from bundle.engines.installed import usable_keys
from bundle.engines.model import OnnxModel, open_model
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, preprocess
from bundle.selection.choice import seconds_per_image
from bundle.selection.timing import BATCH_SIZES, time_stage
from bundle.verify import read_manifest
from calibration.decision import STAGE_KEYS
from trainer.bundling.quantise import NotQuantised, write_quantised
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.record import RunRecord

_LEAST_GAIN: Final = 1.1
"""Factor by which another engine or precision must be faster to be worth a share of delta."""
_STAGE_SECONDS: Final = 1.0
"""For timing one stage on one engine and precision."""


def faster_keys(run: RunFolder, record: RunRecord, console: RunConsole) -> tuple[EngineKey, ...]:
    """Every installed engine and precision on which an image costs less than on the run's own, the cheapest
    first: stage A for every image, stage B for the share that A leaves."""
    console.heading("Seconds per image on this machine")
    seconds: dict[EngineKey, float] = {}
    manifest, images = read_manifest(run.bundle), _golden(run)
    for key in usable_keys():
        try:
            write_quantised(run, record, [key], console)
            timed = [
                time_stage(_opened(run, record, index, key), _batch(images, stage.preprocess), _STAGE_SECONDS)
                for index, stage in enumerate(record.stages)
            ]
        except (EngineError, NotQuantised) as error:
            console.note(f"{key} is left out: {error}")
            continue
        seconds[key] = seconds_per_image(manifest, key, timed)
        console.note(f"{key}: {1e3 * seconds[key]:.2f} ms")
    faster = [key for key in seconds if seconds[key] * _LEAST_GAIN < seconds[DEFAULT_KEY]]
    if not faster:
        console.note(f"None is faster than {DEFAULT_KEY} by a tenth, so no delta is shared with another one")
    return tuple(sorted(faster, key=lambda key: seconds[key]))


def _opened(run: RunFolder, record: RunRecord, index: int, key: EngineKey) -> OnnxModel:
    stage = record.stages[index]
    return open_model(
        run.onnx(STAGE_KEYS[index], key.precision),
        image_size=stage.preprocess.size,
        output=stage.output,
        engine=key.engine,
        precision=key.precision,
    )


def _golden(run: RunFolder) -> list[bytes]:
    files = sorted(run.golden.iterdir()) if run.golden.is_dir() else []
    return [file.read_bytes() for file in files[: BATCH_SIZES[-1]]]


def _batch(images: Sequence[bytes], spec: PreprocessSpec) -> NDArray[np.float32]:
    """float32 [16, 3, H, W]: the images, repeated if there are fewer."""
    rows = [preprocess(decode(image, target=spec.size), spec) for image in images]
    rows = rows or [np.zeros((3, *spec.size), dtype=np.float32)]
    return np.stack([rows[place % len(rows)] for place in range(BATCH_SIZES[-1])])
