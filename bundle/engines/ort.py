"""ONNX Runtime, on the CPU (extra [cpu]) or on CUDA (extra [gpu]).

The device in use is read back from the session: onnxruntime-gpu without a working driver falls back to
the CPU silently, and would serve scores that no certificate covers. The session then raises
`EngineUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.engines.contract import EngineUnavailable, ModelUnfit, Tensor
from bundle.engines.time_limit import within

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {"onnxruntime-cuda": "CUDAExecutionProvider", "onnxruntime-cpu": "CPUExecutionProvider"}
)
"""Engine -> ONNX Runtime's name of the device."""

_PROVIDER_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    # By default CUDA rounds the factors of fp32 products to 10 bits (TF32), which is not fp32.
    {"onnxruntime-cuda": {"use_tf32": "0"}, "onnxruntime-cpu": {}}
)


class OrtSession:
    """A model opened by ONNX Runtime on the requested device."""

    def __init__(self, content: bytes, engine: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # The arena would keep the memory of the largest batch for ever, and saves no measurable time.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Threads that spin while they wait would take the cores from other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        provider = (PROVIDERS[engine], dict(_PROVIDER_OPTIONS[engine]))
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=[provider])
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelUnfit(f"ONNX Runtime does not open the model: {error}") from error
        self.providers = tuple(self._session.get_providers())
        if self.providers[:1] != (PROVIDERS[engine],):
            raise EngineUnavailable(
                f"engine {engine!r} was asked for, but ONNX Runtime obtained {list(self.providers)}; "
                "check its driver"
            )
        self.inputs = tuple(
            Tensor(i.name, "float32" if i.type == "tensor(float)" else i.type, tuple(i.shape))
            for i in self._session.get_inputs()
        )
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def compute(
        self,
        tensor: str,
        batch: NDArray[np.float32],
        outputs: Sequence[str],
        limit: float | None = None,
    ) -> list[NDArray[Any]]:
        """See `Session.compute`."""
        if limit is None:
            found: list[NDArray[Any]] = self._session.run(outputs, {tensor: batch})
            return found
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        return within(
            limit,
            lambda: self._session.run(outputs, {tensor: batch}, options),
            lambda: setattr(options, "terminate", True),
        )
