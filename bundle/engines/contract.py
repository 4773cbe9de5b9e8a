"""What an engine is: its name, its errors, and the session that every runtime provides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from calibration.scores import StageOutputs

DEFAULT_ENGINE = "onnxruntime-cpu"
DEFAULT_PRECISION = "fp32"
OPENVINO = "openvino"

PRECISIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime-cuda": ("fp32",),
        OPENVINO: ("fp32", "bf16", "int8"),
        "onnxruntime-cpu": ("fp32", "int8"),
    }
)
"""Engine, as certificates name it -> what it computes at. The usually fastest engine comes first."""

EXTRAS: Mapping[str, str] = MappingProxyType(
    {"onnxruntime-cpu": "cpu", "onnxruntime-cuda": "gpu", OPENVINO: "openvino"}
)
"""Engine -> the extra of demur that installs it."""

_MADE_WHILE_RUNNING = frozenset({"bf16"})
"""Precisions that the runtime makes of the fp32 model; they have no file of their own."""

ALONE = frozenset({"int8"})
"""Precisions at which images are computed one by one. Dynamic quantisation scales the activations of a
whole batch together, so an image would get other scores in other company than when it was certified."""


def file_precision(precision: str) -> str:
    """The precision of the model file that is opened to compute at `precision`."""
    return DEFAULT_PRECISION if precision in _MADE_WHILE_RUNNING else precision


class EngineError(RuntimeError):
    """An engine cannot be had, or a model does not fit it."""


class EngineUnavailable(EngineError):
    """The runtime or the device that was asked for is not here."""


class ModelUnfit(EngineError):
    """The ONNX model's inputs or outputs are not those of a bundle stage."""


@dataclass(frozen=True, slots=True, order=True)
class EngineKey:
    """An engine at a precision: what one certificate speaks of. As text `onnxruntime-cpu/fp32`."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}/{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        engine, _, precision = text.partition("/")
        return cls(engine, precision)


DEFAULT_KEY = EngineKey(DEFAULT_ENGINE, DEFAULT_PRECISION)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of a model: its element type and shape, None or text where a side is open."""

    name: str
    kind: str
    """`float32`, or the runtime's own word for anything else"""
    shape: tuple[int | str | None, ...]


class Session(Protocol):
    """An ONNX model opened by a runtime; `compute` is safe to call from several threads."""

    @property
    def inputs(self) -> Sequence[Tensor]: ...
    @property
    def outputs(self) -> Sequence[str]: ...
    @property
    def providers(self) -> tuple[str, ...]:
        """What the runtime says that it computes with, read back from it after opening."""

    def compute(self, tensor: str, batch: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The named outputs for `batch` as the input `tensor`, in their order."""


class Engine(Protocol):
    """A model that turns normalised tensors into raw outputs; safe to call from several threads."""

    @property
    def name(self) -> str:
        """Runtime, device and precision, as certificates name them: `onnxruntime-cpu/fp32`."""

    @property
    def classes(self) -> int:
        """K, the number of logits."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the input."""

    @property
    def has_gate(self) -> bool:
        """Whether `run` returns gate logits."""

    def run(self, batch: NDArray[np.float32]) -> StageOutputs:
        """float32 [B, 3, H, W], B >= 1 -> logits float64 [B, K] and, with a gate, gate float64 [B]."""
