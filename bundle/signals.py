"""Drift signals of an image, computed by the same code for the reference of a bundle and in production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from bundle.images.appearance import appearance
from bundle.images.preprocess import preprocess
from bundle.runner import CascadeRunner
from calibration.decision import STAGE_KEYS, STAGE_NAMES, OperatingPoint, decide
from calibration.drift.signals import SignalRow
from calibration.scores import FloatArray, StageOutputs, logit_margin

EMBEDDING_WIDTH: Final = 32
"""Numbers that a longer embedding is projected to"""
_SIGNS_SEED: Final = 20_240_601


def observe(runner: CascadeRunner, encoded: bytes) -> SignalRow:
    """All signals of one encoded image; every stage is computed. Raises an ImageError.

    The runner must have an operating point.
    """
    if runner.point is None:
        raise ValueError("this runner has no operating point: it cannot decide")
    pixels = runner.pixels(encoded)
    outputs, embedding = [], None
    for stage in runner.stages:
        batch = preprocess(pixels, stage.preprocess)[None]
        computed, embedding = stage.model.run_with_embedding(batch)
        outputs.append(computed)
    (row,) = output_rows(outputs, runner.point)
    return replace(
        row,
        numbers={**appearance(encoded, pixels), **row.numbers},
        embedding=None if embedding is None else projected(embedding)[0].tolist(),
    )


def output_rows(outputs: Sequence[StageOutputs], point: OperatingPoint) -> list[SignalRow]:
    """The signals of the stages' raw outputs on n >= 1 images: margins, gates, and the decision."""
    columns: dict[str, FloatArray] = {}
    for key, raw, rule in zip(STAGE_KEYS, outputs, point.stages, strict=False):
        calibrated = rule.calibrated(raw)
        columns[f"margin_{key}"] = logit_margin(calibrated)
        if calibrated.gate is not None:
            columns[f"gate_{key}"] = calibrated.gate
    rows = []
    for place, decision in enumerate(decide(outputs, point)):
        categories = {
            "answered": int(decision.decision == "answer"),
            "predicted": int(np.argmax(decision.probabilities)),
        }
        if len(outputs) > 1:
            categories["stage"] = STAGE_NAMES.index(decision.stage)
        numbers = {name: float(column[place]) for name, column in columns.items()}
        rows.append(SignalRow(numbers, categories, float(np.max(decision.probabilities))))
    return rows


def projected(embedding: FloatArray) -> FloatArray:
    """Embeddings [n, d] as [n, at most 32], by random signs that are the same everywhere and always."""
    width = embedding.shape[1]
    if width <= EMBEDDING_WIDTH:
        return embedding
    # Bits of the generator itself: the streams of NumPy's distributions may change between its versions.
    words = np.asarray(np.random.PCG64(_SIGNS_SEED).random_raw(width), dtype=np.uint64)
    bits = (words[:, None] >> np.arange(EMBEDDING_WIDTH, dtype=np.uint64)) & np.uint64(1)
    return np.asarray(embedding @ (2.0 * bits - 1.0) / np.sqrt(width), dtype=np.float64)
