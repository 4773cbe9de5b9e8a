"""The tiny bundle with a reference of drift signals, as a run would have written it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from fakes.tiny_bundle import ANSWERED_BY_A, ANSWERED_BY_B, colour_image, tiny_draft, write_tiny_bundle

from bundle.loader import load_bundle
from bundle.reference import DriftReference
from bundle.signals import observe
from bundle.writer import write_bundle
from calibration.drift.signals import SignalRow, SignalSample

KEY = "onnxruntime-cpu/fp32"


def usual_image(number: int) -> bytes:
    """An image as the reference holds them."""
    strength = (ANSWERED_BY_A, ANSWERED_BY_B)[number // 2 % 2] + 0.01 * (number % 7)
    return colour_image(number % 2, strength, seed=number)


def write_referenced_bundle(folder: Path, images: int = 160) -> Path:
    """Write the tiny bundle with a reference of `images` usual images to `folder` and return it."""
    runner = load_bundle(write_tiny_bundle(folder.with_name(f"{folder.name}-plain"))).runner
    rows = [observe(runner, usual_image(number)) for number in range(images)]
    outputs = [_part(row, of_images=False) for row in rows]
    reference = DriftReference(
        SignalSample.of([_part(row, of_images=True) for row in rows]), {KEY: SignalSample.of(outputs)}
    )
    write_bundle(replace(tiny_draft(name="referenced"), reference=reference.to_bytes()), folder)
    return folder


def _part(row: SignalRow, *, of_images: bool) -> SignalRow:
    """The signals of the image alone, or those of the model's outputs."""
    numbers = {
        name: value
        for name, value in row.numbers.items()
        if name.startswith(("margin_", "gate_")) is not of_images
    }
    return SignalRow(numbers, {} if of_images else row.categories, np.nan if of_images else row.right)
