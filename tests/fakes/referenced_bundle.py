"""The tiny bundle with a reference of drift signals, as a run would have written it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from fakes.tiny_bundle import (
    ANSWERED_BY_A,
    ANSWERED_BY_B,
    GAINS,
    SIDES,
    colour_image,
    colour_model,
    tiny_draft,
)
from onnx import TensorProto, helper

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


def colour_model_with_embedding(side: int, gain: float) -> bytes:
    """A model of colours with a gate, and the pooled colours as an output `embedding`."""
    model = onnx.load_from_string(colour_model(side, gain, gate=True))
    model.graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3]))
    model.graph.node.append(helper.make_node("Identity", ["colour"], ["embedding"]))
    return bytes(model.SerializeToString())


def write_referenced_bundle(folder: Path, images: int = 160, *, embedding: bool = False) -> Path:
    """Write the tiny bundle with a reference of `images` usual images to `folder` and return it.

    `embedding`: stage B has an output of that name.
    """
    draft = tiny_draft(name="referenced")
    if embedding:
        stage_b = replace(draft.stages[1], models={"fp32": colour_model_with_embedding(SIDES[1], GAINS[1])})
        draft = replace(draft, stages=(draft.stages[0], stage_b))
    plain = folder.with_name(f"{folder.name}-plain")
    write_bundle(draft, plain)
    runner = load_bundle(plain).runner
    rows = [observe(runner, usual_image(number)) for number in range(images)]
    outputs = [_part(row, of_images=False) for row in rows]
    reference = DriftReference(
        SignalSample.of([_part(row, of_images=True) for row in rows]), {KEY: SignalSample.of(outputs)}
    )
    write_bundle(replace(draft, reference=reference.to_bytes()), folder)
    return folder


def _part(row: SignalRow, *, of_images: bool) -> SignalRow:
    """The signals of the image alone, or those of the model's outputs."""
    numbers = {
        name: value
        for name, value in row.numbers.items()
        if name.startswith(("margin_", "gate_")) is not of_images
    }
    if of_images:
        return SignalRow(numbers, {}, np.nan, row.embedding)
    return SignalRow(numbers, row.categories, row.right)
