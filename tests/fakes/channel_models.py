"""Labelled images of one flat colour, and ONNX classifiers that read one colour channel of them.

Red indicates class 1 with little noise, green with more, so a model of red is a good stage B and a model of
green a weaker stage A; `separation` sets the accuracy of both. A run on a thousand images takes seconds, and
everything except the models is real.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from trainer.data.images import ImageSet

SIDE = 8
RED, GREEN = 0, 1
GAIN = 12.0


@dataclass(frozen=True)
class EncodedImages:
    """Reader of encoded images in memory."""

    images: Sequence[bytes]

    def read(self, row: int) -> bytes:
        return self.images[row]

    def digest(self) -> str:
        return hashlib.sha256(b"".join(self.images)).hexdigest()


def channel_images(
    n: int, *, separation: float = 2.3, frames: int = 1, seed: int = 0, group: bool = False
) -> ImageSet:
    """n images. In red, each class mean is `separation` standard deviations from the decision boundary.

    `frames`: images per group; red and green are the same within a group. `group`: whether the set states its
    groups.
    """
    rng = np.random.default_rng(seed)
    of_group = np.arange(n) // frames
    labels = rng.integers(0, 2, of_group[-1] + 1)[of_group].astype(np.int64)
    sides = 2.0 * labels - 1.0
    red = separation * sides + rng.normal(size=of_group[-1] + 1)[of_group]
    green = separation * sides + 1.6 * rng.normal(size=of_group[-1] + 1)[of_group]
    colours = np.stack([red, green, rng.normal(size=n)], axis=1)
    pixels = np.clip(128 + 18 * colours, 0, 255).round().astype(np.uint8)
    names = np.array([f"drive-{g}" for g in of_group])
    return ImageSet(
        name="channels",
        reader=EncodedImages([_flat(colour, row) for row, colour in enumerate(pixels)]),
        labels=labels,
        class_names=("calm", "busy"),
        paths=[f"{row}.png" for row in range(n)],
        groups=names if group else None,
        group_column="drive" if group else None,
        metadata={"weather": np.array(["rain", "sun"])[rng.integers(0, 2, n)]},
    )


def _flat(colour: NDArray[np.uint8], row: int) -> bytes:
    """A flat image; the row number in the blue of its first pixels makes its bytes unique."""
    pixels = np.tile(colour, (SIDE, SIDE, 1))
    pixels[0, 0, 2], pixels[0, 1, 2], pixels[0, 2, 2] = row % 256, row // 256 % 256, row // 65536
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def channel_model(path: Path, channel: int, output: str = "logits", *, border: float = 128 / 255) -> Path:
    """Write an ONNX model that reads one channel: inputs in 0..1, the decision boundary at 128 / 255.

    `output`: logits [B, 2], probabilities [B, 2], binary_logit [B, 1] or binary_probability [B].
    """
    single = output.startswith("binary")
    weights = np.zeros((3, 1 if single else 2), dtype=np.float32)
    weights[channel, -1] = GAIN * (1 if single else 0.5)
    if not single:
        weights[channel, 0] = -GAIN / 2
    bias = np.float32(-border) * weights[channel]
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("Gemm", ["colour", "weights", "bias"], ["raw"]),
        *{
            "logits": [helper.make_node("Identity", ["raw"], ["out"])],
            "probabilities": [helper.make_node("Softmax", ["raw"], ["out"], axis=1)],
            "binary_logit": [helper.make_node("Identity", ["raw"], ["out"])],
            "binary_probability": [helper.make_node("Sigmoid", ["raw"], ["out"])],
        }[output],
    ]
    graph = helper.make_graph(
        nodes,
        "channel",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 1 if single else 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
