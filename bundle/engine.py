"""One stage's model, opened by an inference runtime.

The core has no runtime of its own: `onnxruntime` comes with the extra [cpu], `onnxruntime-gpu` with
[gpu]. What was asked for is what is obtained, or `EngineUnavailable`: a runtime that falls back to the
CPU in silence would serve scores that no certificate covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.onnx_scan import refuse_external_data
from bundle.outputs import TO_LOGITS, OutputKind
from calibration.scores import StageOutputs

DEFAULT_ENGINE = "onnxruntime-cpu"
DEFAULT_PRECISION = "fp32"

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {"onnxruntime-cuda": "CUDAExecutionProvider", "onnxruntime-cpu": "CPUExecutionProvider"}
)
"""Engine, as certificates name it -> ONNX Runtime's name of the device; the fastest comes first."""
_EXTRAS = {"onnxruntime-cpu": "cpu", "onnxruntime-cuda": "gpu"}


class EngineError(RuntimeError):
    """An engine cannot be had, or a model does not fit it."""


class EngineUnavailable(EngineError):
    """The runtime or the device that was asked for is not here."""


class ModelUnfit(EngineError):
    """The ONNX model's inputs or outputs are not those of a bundle stage."""


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


def available_engines() -> tuple[str, ...]:
    """The engines that this installation offers, the fastest first; empty without any runtime."""
    if find_spec("onnxruntime") is None:
        return ()
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    return tuple(name for name in PROVIDERS if PROVIDERS[name] in offered)


def open_engine(
    model: Path | bytes,
    *,
    image_size: tuple[int, int] | None = None,
    output: OutputKind = "logits",
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
    threads: int = 1,
) -> OnnxEngine:
    """Open an ONNX model, given as a file or as its bytes, and try it on a batch.

    `image_size` (height, width) must be given where the model leaves it open. `threads` is for one call
    (intra-op): on a CPU several calls at a time on one thread each do more than one call on several.
    Raises EngineUnavailable, ModelUnfit, or ModelRefused (external data, not ONNX).
    """
    content = model.read_bytes() if isinstance(model, Path) else model
    refuse_external_data(content)
    session = _open_session(content, engine, threads)
    return OnnxEngine(f"{engine}/{precision}", session, _image_size(session, image_size), output)


class OnnxEngine:
    """An ONNX Runtime session on the device it was asked for."""

    def __init__(self, name: str, session: Any, image_size: tuple[int, int], output: OutputKind) -> None:
        """Run the model once on a batch of two, so that one that does not fit fails here and not later."""
        self.name = name
        self.image_size = image_size
        self._session = session
        self._to_logits = TO_LOGITS[output]
        self._input = session.get_inputs()[0].name
        self._one_by_one = session.get_inputs()[0].shape[0] == 1
        self._outputs = _output_names(session)
        self.has_gate = len(self._outputs) == 2
        try:
            trial = self.run(np.zeros((2, 3, *image_size), dtype=np.float32))
        except Exception as fault:  # the runtime's own exception types are not public
            raise ModelUnfit(f"the model does not run on two images of size {image_size}: {fault}") from fault
        if len(trial) != 2:
            raise ModelUnfit(f"the model gives {len(trial)} rows for two images")
        self.classes = trial.logits.shape[1]

    def run(self, batch: NDArray[np.float32]) -> StageOutputs:
        """float32 [B, 3, H, W], B >= 1 -> logits float64 [B, K] and, with a gate, gate float64 [B]."""
        if self._one_by_one:
            parts = [self._compute(batch[row : row + 1]) for row in range(len(batch))]
            outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        else:
            outputs = self._compute(batch)
        logits = self._to_logits(outputs[0])
        gate = outputs[1].astype(np.float64).reshape(len(batch)) if self.has_gate else None
        return StageOutputs(logits, gate)

    def _compute(self, batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self._session.run(self._outputs, {self._input: batch})
        return outputs


def _open_session(content: bytes, engine: str, threads: int) -> Any:
    if engine not in PROVIDERS:
        raise EngineUnavailable(f"engine is {engine!r}; it must be one of {', '.join(PROVIDERS)}")
    if engine not in available_engines():
        raise EngineUnavailable(
            f"engine {engine!r} is not installed here; install demur with the extra [{_EXTRAS[engine]}]"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # The arena would keep the memory of the largest batch for ever, and gains no measurable time.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads that spin while they wait would take the cores from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[PROVIDERS[engine]])
    except Exception as fault:  # the runtime's own exception types are not public
        raise ModelUnfit(f"ONNX Runtime does not open the model: {fault}") from fault
    obtained = session.get_providers()
    if obtained[:1] != [PROVIDERS[engine]]:
        raise EngineUnavailable(
            f"engine {engine!r} was asked for, but ONNX Runtime obtained {obtained}; check its driver"
        )
    return session


def _image_size(session: Any, wanted: tuple[int, int] | None) -> tuple[int, int]:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelUnfit(f"the model has {len(inputs)} inputs; it must have one, float32 [B, 3, H, W]")
    shape, kind = inputs[0].shape, inputs[0].type
    if kind != "tensor(float)" or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise ModelUnfit(f"the model's input is {kind} {shape}; it must be float32 [B, 3, H, W]")
    batch, _, height, width = shape
    if isinstance(batch, int) and batch != 1:
        raise ModelUnfit(f"the model takes batches of {batch} only; the batch must be free, or 1")
    if wanted is not None:
        for side, asked in zip((height, width), wanted, strict=True):
            if isinstance(side, int) and side != asked:
                raise ModelUnfit(f"the model's input is {shape}; the preprocessing makes {wanted}")
        return wanted
    if not (isinstance(height, int) and isinstance(width, int)):
        raise ModelUnfit(f"the model's input is {shape}: give its image size (height, width)")
    return height, width


def _output_names(session: Any) -> list[str]:
    """The main output and, where there is one, the output named `gate`."""
    names = [output.name for output in session.get_outputs()]
    gate = ["gate"] if "gate" in names else []
    main = [name for name in names if name != "gate"]
    if "logits" in main:
        return ["logits", *gate]
    if len(main) != 1:
        raise ModelUnfit(f"the model's outputs are {names}; one must be named 'logits', or be the only one")
    return [*main, *gate]
