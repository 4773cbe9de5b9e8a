"""Bundles that differ in what clients see: other probabilities, fewer answers, or more errors.

Certificates and golden cases of all are met, so gates that look at a bundle alone let each of them pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from fakes.tiny_bundle import CHANNELS, GAINS, SIDES, colour_model, tiny_draft
from onnx import helper, numpy_helper
from PIL import Image

from bundle.draft import BundleDraft
from bundle.writer import write_bundle

Fault = Literal["none", "shy", "wrong"]
_WEIGHT_OF_GREEN: Final[Mapping[Fault, float]] = {"none": 0.0, "shy": 0.9, "wrong": 2.0}


def tinted_image(seed: int = 0, *, size: tuple[int, int] = (48, 64)) -> bytes:
    """A clear image of class 1 with as much green, on which faulty bundles differ from good ones."""
    colour = np.empty(3)
    colour[list(CHANNELS)] = 60.0, 200.0, 200.0
    noise = np.random.default_rng(seed).normal(0.0, 6.0, (*size, 3))
    buffer = BytesIO()
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_fleet_bundle(
    folder: Path, *, name: str = "tiny", gain: float = 1.0, fault: Fault = "none", **options: Any
) -> Path:
    """A bundle that decides as the tiny one on ordinary images, and return its folder.

    `gain`: factor of the logits, at least 1, which moves every probability and no decision. `fault`: on
    tinted images it abstains (`shy`), or answers with the wrong class (`wrong`). `options` are those of
    `fakes.tiny_bundle.tiny_draft`.
    """
    write_bundle(_changed(tiny_draft(name=name, **options), gain, _WEIGHT_OF_GREEN[fault]), folder)
    return folder


def _changed(draft: BundleDraft, gain: float, green: float) -> BundleDraft:
    stages = [
        replace(
            stage,
            models={
                "fp32": _tinted_model(SIDES[index], gain * GAINS[index], green, stage is draft.stages[-1])
            },
        )
        for index, stage in enumerate(draft.stages)
    ]
    return replace(draft, stages=tuple(stages))


def _tinted_model(side: int, gain: float, green: float, gate: bool) -> bytes:
    """The model of the tiny bundle; green that is brighter than grey counts against class 1 as well."""
    model = onnx.load_from_string(colour_model(side, gain, gate=gate))
    nodes = list(model.graph.node)
    (product,) = [node for node in nodes if node.op_type == "MatMul"]
    product.output[0] = "plain"
    added = [
        helper.make_node("Relu", ["colour"], ["bright"]),
        helper.make_node("MatMul", ["bright", "tint"], ["shift"]),
        helper.make_node("Add", ["plain", "shift"], ["logits"]),
    ]
    place = nodes.index(product) + 1
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *added, *nodes[place:]])
    tint = np.zeros((3, 2), dtype=np.float32)
    tint[CHANNELS[2]] = gain * green, -gain * green
    model.graph.initializer.append(numpy_helper.from_array(tint, "tint"))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
