"""Export of a trained stage to ONNX, checked against torch before the file is used.

Input `pixels` float32 [B, 3, H, W], already normalised; outputs `logits` float32 [B, K] and, if the model
has a gate head, `gate` float32 [B]. The batch size is free, the image size is fixed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from bundle.engines.model import open_model
from trainer.errors import RunError
from trainer.run.disk import explain_disk_errors

MAX_BATCH = 256
TOLERANCE = 1e-4
"""Largest difference allowed between ONNX and torch, relative to logits of magnitude 1 and above."""


class ExportMismatch(RunError):
    """The exported file does not compute what the torch model computes."""


class _ServedOutputs(nn.Module):
    """The model with the outputs of serving: without the auxiliary head, as a flat tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        heads = self.model(pixels)
        return (heads.logits,) if heads.gate is None else (heads.logits, heads.gate)


def export_onnx(model: nn.Module, image_size: tuple[int, int], path: Path) -> float:
    """Write `model` to `path` and compare both at batch 1 and 5; returns the largest difference.

    image_size: (height, width) in pixels. Raises `ExportMismatch` if the difference exceeds `TOLERANCE`; no
    file remains at `path` then.
    """
    served = _ServedOutputs(model).eval().cpu()
    example = torch.zeros((2, 3, *image_size))
    with torch.no_grad():
        names = ["logits", "gate"][: len(served(example))]
    proto = _trace(served, example, names)
    _strip_traces(proto)
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save_model(proto, path)
    difference = _largest_difference(served, image_size, path)
    if difference > TOLERANCE:
        path.unlink()
        raise ExportMismatch(
            f"{path.name} differs from torch by {difference:.2e}; at most {TOLERANCE:g} is allowed. "
            "An operator of this model exports differently: choose another backbone"
        )
    return difference


def _trace(served: nn.Module, example: Tensor, names: list[str]) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        # The exporter prints progress and warns about its internals.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                served,
                (example,),
                input_names=["pixels"],
                output_names=names,
                dynamo=True,
                dynamic_shapes=({0: batch},),
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    proto: onnx.ModelProto = program.model_proto
    return proto


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Drop the source positions that the exporter writes into every node.

    They name files of the training machine, and equal models would differ in them.
    """
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del value.metadata_props[:]
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
    for function in proto.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]


def _largest_difference(served: nn.Module, image_size: tuple[int, int], path: Path) -> float:
    engine = open_model(path)
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for size in (1, 5):
        batch = torch.randn((size, 3, *image_size), generator=generator)
        with torch.no_grad():
            expected = [output.numpy() for output in served(batch)]
        found = engine.run(batch.numpy())
        arrays = [found.logits] if found.gate is None else [found.logits, found.gate]
        for ours, theirs in zip(arrays, expected, strict=True):
            scale = np.maximum(np.abs(theirs), 1.0)
            worst = max(worst, float(np.max(np.abs(ours - theirs) / scale)))
    return worst
