"""An exported stage in 8-bit integers, by ONNX Runtime's quantiser.

Convolutional networks get fixed scales, found on images of val_select: dynamic scales, computed for every
image, would make them several times slower than fp32 instead of faster. Transformers get dynamic scales,
which leave room for the outliers of each image: fixed ones cost accuracy and gain nothing on ONNX Runtime.
Weights are scaled per output channel in both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import DEFAULT_PRECISION, EngineKey, file_precision
from bundle.extras import installed_by
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, preprocess
from calibration.decision import STAGE_KEYS
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.digests import file_digest
from trainer.run.folder import RunFolder, write_bytes
from trainer.run.record import RunRecord, write_record

Scales = Literal["fixed", "dynamic"]

_MULTIPLICATIONS = ("MatMul", "Gemm")


class NotQuantised(RunError):
    """The quantiser is not installed, or refuses the model."""


def quantise(model: Path, out: Path, images: Sequence[bytes], spec: PreprocessSpec) -> Scales:
    """Write `model` in int8 to `out`; returns the kind of scales of its activations.

    `images`: encoded images of val_select, at least one, from which fixed scales are found. Raises
    `NotQuantised`.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise NotQuantised(f"int8 needs {error.name}; {installed_by('train')}") from None
    if not images:
        raise NotQuantised("int8 needs a few images of val_select, and the run folder holds none in golden/")
    with TemporaryDirectory(prefix="demur-int8-") as folder, _quiet():
        prepared, small = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        weights = {"per_channel": True, "weight_type": quantization.QuantType.QInt8}
        try:
            quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(prepared).graph
            scales = scales_for(graph)
            if scales == "fixed":
                reader = _Batches(graph.input[0].name, images, spec)
                quantization.quantize_static(
                    prepared,
                    small,
                    reader,
                    quant_format=quantization.QuantFormat.QDQ,
                    activation_type=quantization.QuantType.QUInt8,
                    **weights,
                )
            else:
                quantization.quantize_dynamic(
                    prepared, small, op_types_to_quantize=list(_MULTIPLICATIONS), **weights
                )
        except Exception as fault:  # the quantiser raises errors of many libraries
            raise NotQuantised(f"{model} cannot be quantised: {fault}") from fault
        write_bytes(out, small.read_bytes())
    return scales


def write_quantised(
    run: RunFolder, record: RunRecord, keys: Sequence[EngineKey], console: RunConsole
) -> RunRecord:
    """Write the model files that the precisions of `keys` need and training did not write.

    Returns the record with their digests, which run.json keeps too. Raises `NotQuantised`.
    """
    images = [file.read_bytes() for file in sorted(run.golden.iterdir())] if run.golden.is_dir() else []
    for precision in sorted({file_precision(key.precision) for key in keys} - {DEFAULT_PRECISION}):
        stages = []
        for name, stage in zip(STAGE_KEYS, record.stages, strict=False):
            out = run.onnx(name, precision)
            scales = quantise(run.onnx(name), out, images, stage.preprocess)
            digests = {**stage.further_digests, precision: file_digest(out)}
            stages.append(stage.model_copy(update={"further_digests": digests}))
            smaller = run.onnx(name).stat().st_size / out.stat().st_size
            console.note(
                f"Stage {name.upper()} at {precision}: {scales} scales, a file {smaller:.1f} times smaller"
            )
        record = record.model_copy(update={"stages": tuple(stages)})
        write_record(record, run)
    return record


def scales_for(graph: object) -> Scales:
    """`fixed` if most weights of an ONNX graph belong to convolutions, otherwise `dynamic`."""
    sizes = {tensor.name: prod(tensor.dims) for tensor in graph.initializer}  # type: ignore[attr-defined]

    def weights(kinds: Sequence[str]) -> int:
        nodes = [node for node in graph.node if node.op_type in kinds]  # type: ignore[attr-defined]
        return sum(sizes.get(name, 0) for node in nodes for name in node.input)

    return "fixed" if weights(["Conv"]) > weights(_MULTIPLICATIONS) else "dynamic"


class _Batches:
    """The images for the quantiser, one at a time."""

    def __init__(self, tensor: str, images: Sequence[bytes], spec: PreprocessSpec) -> None:
        self._tensor = tensor
        self._images = iter(images)
        self._spec = spec

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        encoded = next(self._images, None)
        if encoded is None:
            return None
        return {self._tensor: preprocess(decode(encoded, target=self._spec.size), self._spec)[None]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the quantiser's warnings, which recommend steps that are already done."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
