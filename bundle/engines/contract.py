"""Engines: their names and precisions, their errors, and the session that every runtime provides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bundle.errors import BundlePackageError
from calibration.scores import FloatArray, StageOutputs

DEFAULT_ENGINE: Final = "onnxruntime-cpu"
DEFAULT_PRECISION: Final = "fp32"
OPENVINO: Final = "openvino"

PRECISIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime-cuda": ("fp32",),
        OPENVINO: ("fp32", "bf16", "int8"),
        "onnxruntime-cpu": ("fp32", "int8"),
    }
)
"""Engine -> the precisions that it computes at. The engine that is usually fastest comes first."""

EXTRAS: Mapping[str, str] = MappingProxyType(
    {"onnxruntime-cpu": "cpu", "onnxruntime-cuda": "gpu", OPENVINO: "openvino"}
)
"""Engine -> the extra of demur that installs it."""

_MADE_WHILE_RUNNING = frozenset({"bf16"})
"""Precisions that the runtime derives from the fp32 model; they have no file of their own."""

ONE_BY_ONE = frozenset({"int8"})
"""Precisions at which images are computed one by one. Dynamic quantisation scales the activations of a
whole batch together, so the scores of an image would depend on the other images of its batch, and would
differ from the certified ones."""


def file_precision(precision: str) -> str:
    """The precision of the model file that is opened to compute at `precision`."""
    return DEFAULT_PRECISION if precision in _MADE_WHILE_RUNNING else precision


class EngineError(BundlePackageError, RuntimeError):
    """An engine is not available, or a model does not fit it."""


class EngineUnavailable(EngineError):
    """The requested runtime, device or precision is not available on this machine."""


class ModelUnfit(EngineError):
    """The ONNX model's inputs or outputs are not those of a bundle stage."""


class ModelTimeout(ModelUnfit):
    """The model does not finish in the time that it has."""


@dataclass(frozen=True, slots=True, order=True)
class EngineKey:
    """An engine at a precision, the scope of one certificate. As text `onnxruntime-cpu/fp32`."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}/{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `str` wrote; the parts are not checked."""
        engine, _, precision = text.partition("/")
        return cls(engine, precision)


DEFAULT_KEY = EngineKey(DEFAULT_ENGINE, DEFAULT_PRECISION)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of a model: its element type and shape; None or text for a side that is not fixed."""

    name: str
    kind: str
    """`float32`, or the runtime's own name of any other type."""
    shape: tuple[int | str | None, ...]


class Session(Protocol):
    """An ONNX model opened by a runtime; `compute` is safe to call from several threads."""

    @property
    def inputs(self) -> Sequence[Tensor]: ...
    @property
    def outputs(self) -> Sequence[str]: ...
    @property
    def providers(self) -> tuple[str, ...]:
        """The devices that the runtime reports after it has opened the model."""

    def compute(
        self,
        tensor: str,
        batch: NDArray[np.float32],
        outputs: Sequence[str],
        limit: float | None = None,
    ) -> list[NDArray[Any]]:
        """The named outputs for `batch` as the input `tensor`, in their order.

        Raises ModelTimeout after `limit` seconds; None: without a limit.
        """


class StageModel(Protocol):
    """A model that turns normalised tensors into raw outputs; safe to call from several threads."""

    @property
    def name(self) -> str:
        """Engine and precision as certificates name them: `onnxruntime-cpu/fp32`."""

    @property
    def classes(self) -> int:
        """K, the number of logits."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the input."""

    @property
    def has_gate(self) -> bool:
        """Whether `run` returns gate logits."""

    @property
    def has_embedding(self) -> bool:
        """Whether `run_with_embedding` returns an embedding."""

    def run(self, batch: NDArray[np.float32]) -> StageOutputs:
        """float32 [B, 3, H, W], B >= 1 -> logits float64 [B, K] and, with a gate, gate float64 [B]."""

    def run_with_embedding(self, batch: NDArray[np.float32]) -> tuple[StageOutputs, FloatArray | None]:
        """The same, and the output named `embedding` as float64 [B, d]; None for a model without one."""
