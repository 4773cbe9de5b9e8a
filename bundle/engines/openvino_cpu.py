"""OpenVINO on the CPU (extra [openvino]), through its own runtime.

The precision is always set explicitly: on a CPU with AMX, OpenVINO would by default compute an fp32 model
in bf16, and serve scores that no certificate covers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import EngineUnavailable, ModelUnfit, Tensor
from bundle.engines.time_limit import within

DEVICE = "CPU"
_COMPUTED_IN: Mapping[str, str] = MappingProxyType({"fp32": "f32", "bf16": "bf16", "int8": "f32"})
"""Precision -> OpenVINO's name of the type that computes everything that is not quantised."""


class OpenVinoSession:
    """A model compiled by OpenVINO for `calls` calls at a time on `threads` threads each."""

    def __init__(self, content: bytes, precision: str, threads: int, calls: int) -> None:
        hint = _COMPUTED_IN[precision]
        try:
            model = _core().read_model(model=content, weights=b"")
            self._compiled = _core().compile_model(
                model,
                DEVICE,
                {
                    "INFERENCE_PRECISION_HINT": hint,
                    "EXECUTION_MODE_HINT": "PERFORMANCE" if precision == "bf16" else "ACCURACY",
                    "NUM_STREAMS": str(calls),
                    "INFERENCE_NUM_THREADS": str(calls * threads),
                    # Pinned threads of several workers would all run on the first cores.
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except Exception as error:  # the runtime raises RuntimeError for everything
            raise ModelUnfit(f"OpenVINO does not open the model: {error}") from error
        self.providers = tuple(self._compiled.get_property("EXECUTION_DEVICES"))
        obtained = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self.providers != (DEVICE,) or obtained != hint:
            raise EngineUnavailable(
                f"OpenVINO was asked to compute in {hint} on {DEVICE}, but obtained {obtained} on "
                f"{', '.join(self.providers)}"
            )
        self.inputs = tuple(
            Tensor(_name(port), _kind(port.get_element_type().get_type_name()), _shape(port))
            for port in model.inputs
        )
        self.outputs = tuple(_name(port) for port in model.outputs)
        self._requests = threading.local()

    def compute(
        self,
        tensor: str,
        batch: NDArray[np.float32],
        outputs: Sequence[str],
        limit: float | None = None,
    ) -> list[NDArray[Any]]:
        """See `Session.compute`."""
        if limit is not None:
            request = self._compiled.create_infer_request()
            return within(limit, lambda: _infer(request, tensor, batch, outputs), request.cancel)
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        return _infer(request, tensor, batch, outputs)


def capabilities() -> frozenset[str]:
    """The types that this CPU computes natively, in OpenVINO's names: FP32, BF16, INT8 and others."""
    return frozenset(_core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))


def _infer(
    request: Any, tensor: str, batch: NDArray[np.float32], outputs: Sequence[str]
) -> list[NDArray[Any]]:
    request.infer({tensor: batch}, share_inputs=True)
    # Copied, because the next call overwrites the memory of the request.
    return [np.array(request.get_tensor(name).data) for name in outputs]


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _name(port: Any) -> str:
    name: str = port.get_any_name()
    return name


def _kind(element_type: str) -> str:
    return "float32" if element_type == "f32" else element_type


def _shape(port: Any) -> tuple[int | None, ...]:
    return tuple(None if side.is_dynamic else int(side.get_length()) for side in port.get_partial_shape())
