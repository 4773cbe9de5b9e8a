"""The model of one stage, opened by an inference runtime.

demur without extras has no runtime: `onnxruntime` comes with the extra [cpu], `onnxruntime-gpu` with
[gpu], `openvino` with [openvino]. A caller gets exactly the engine it requests, or `EngineUnavailable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.choices import DEFAULT_TIME_LIMIT, OutputKind
from bundle.engines.contract import (
    DEFAULT_ENGINE,
    DEFAULT_PRECISION,
    ONE_BY_ONE,
    OPENVINO,
    EngineKey,
    EngineUnavailable,
    ModelTimeout,
    ModelUnfit,
    Session,
    Tensor,
)
from bundle.engines.external_data import read_model
from bundle.engines.installed import require_key
from bundle.engines.onnx_scan import refuse_external_data
from bundle.engines.openvino_cpu import OpenVinoSession
from bundle.engines.ort import PROVIDERS, OrtSession
from bundle.engines.outputs import TO_LOGITS
from bundle.engines.time_limit import within
from calibration.scores import FloatArray, StageOutputs

_GATE: Final = "gate"
_EMBEDDING: Final = "embedding"
"""Names of the outputs beside the main one"""


def open_model(
    model: Path | bytes,
    *,
    image_size: tuple[int, int] | None = None,
    output: OutputKind = "logits",
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
    threads: int = 1,
    calls: int = 1,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> OnnxModel:
    """Open an ONNX model, given as a file or as its bytes, and run it once on a batch of two.

    Weights in files beside a model that is given as a file are taken in.

    `image_size` (height, width) is required if the model does not fix it. `threads`: threads per call
    (intra-op); on a CPU, several calls at a time on one thread each achieve more than one call on
    several. `calls`: number of calls at a time that the model is prepared for; further ones wait.
    `time_limit`: seconds for opening the model and for its first run, after which it is ModelTimeout.
    Raises EngineUnavailable, ModelUnfit, or ModelRefused (external data, not ONNX).
    """
    content = read_model(model) if isinstance(model, Path) else model
    refuse_external_data(content)
    key = EngineKey(engine, precision)
    require_key(key)
    session = within(time_limit, lambda: _open_session(content, key, threads, calls))
    return OnnxModel(key, session, _image_size(session, image_size), output, time_limit)


class OnnxModel:
    """An ONNX model, open in the session of a runtime on the requested device."""

    def __init__(
        self,
        key: EngineKey,
        session: Session,
        image_size: tuple[int, int],
        output: OutputKind,
        time_limit: float = DEFAULT_TIME_LIMIT,
    ) -> None:
        """Run the model once on a batch of two, so that an unfit model fails here and not later."""
        self.key = key
        self.name = str(key)
        self.image_size = image_size
        self.providers = session.providers
        self._session = session
        self._to_logits = TO_LOGITS[output]
        self._input = session.inputs[0].name
        self._one_by_one = session.inputs[0].shape[0] == 1 or key.precision in ONE_BY_ONE
        self._outputs = _output_names(session)
        self.has_gate = len(self._outputs) == 2
        self.has_embedding = _EMBEDDING in session.outputs
        self._deadline: float | None = None
        try:
            with self.ending_by(monotonic() + time_limit):
                trial, _ = self.run_with_embedding(np.zeros((2, 3, *image_size), dtype=np.float32))
        except ModelTimeout:
            raise
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelUnfit(f"the model does not run on two images of size {image_size}: {error}") from error
        if len(trial) != 2:
            raise ModelUnfit(f"the model gives {len(trial)} rows for two images")
        self.classes = trial.logits.shape[1]

    @property
    def one_by_one(self) -> bool:
        """Whether images are computed one by one, so that a larger batch gains nothing."""
        return self._one_by_one

    @contextmanager
    def ending_by(self, deadline: float) -> Iterator[None]:
        """Inside, a run that has not ended at `deadline` (of `time.monotonic`) raises ModelTimeout.

        For the thread that opens the model, before others use it.
        """
        self._deadline = deadline
        try:
            yield
        finally:
            self._deadline = None

    def run(self, batch: NDArray[np.float32]) -> StageOutputs:
        """float32 [B, 3, H, W], B >= 1 -> logits float64 [B, K] and, with a gate, gate float64 [B]."""
        return self._scores(self._computed(batch, self._outputs))

    def run_with_embedding(self, batch: NDArray[np.float32]) -> tuple[StageOutputs, FloatArray | None]:
        """The same, and the output named `embedding` as float64 [B, d]; None for a model without one."""
        if not self.has_embedding:
            return self.run(batch), None
        *outputs, embedding = self._computed(batch, [*self._outputs, _EMBEDDING])
        return self._scores(outputs), embedding.astype(np.float64).reshape(len(batch), -1)

    def _scores(self, outputs: Sequence[NDArray[np.float32]]) -> StageOutputs:
        logits = self._to_logits(outputs[0])
        return StageOutputs(logits, outputs[1].astype(np.float64).reshape(-1) if self.has_gate else None)

    def _computed(self, batch: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        if self._one_by_one and len(batch) > 1:
            parts = [self._compute(batch[row : row + 1], outputs) for row in range(len(batch))]
            return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return self._compute(batch, outputs)

    def _compute(self, batch: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        limit = None if self._deadline is None else self._deadline - monotonic()
        return self._session.compute(self._input, batch, outputs, limit)


def _open_session(content: bytes, key: EngineKey, threads: int, calls: int) -> Session:
    if key.engine in PROVIDERS:
        return OrtSession(content, key.engine, threads)
    if key.engine == OPENVINO:
        return OpenVinoSession(content, key.precision, threads, calls)
    raise EngineUnavailable(f"engine {key.engine!r} has no runtime")


def _image_size(session: Session, requested: tuple[int, int] | None) -> tuple[int, int]:
    image = _only_input(session)
    batch, _, height, width = image.shape
    if isinstance(batch, int) and batch != 1:
        raise ModelUnfit(f"the model takes batches of {batch} only; the batch must be free, or 1")
    if requested is not None:
        for side, needed in zip((height, width), requested, strict=True):
            if isinstance(side, int) and side != needed:
                raise ModelUnfit(f"the model's input is {_text(image)}; the preprocessing makes {requested}")
        return requested
    if not (isinstance(height, int) and isinstance(width, int)):
        raise ModelUnfit(f"the model's input is {_text(image)}: give its image size (height, width)")
    return height, width


def _only_input(session: Session) -> Tensor:
    if len(session.inputs) != 1:
        raise ModelUnfit(
            f"the model has {len(session.inputs)} inputs; it must have one, float32 [B, 3, H, W]"
        )
    image = session.inputs[0]
    channels = image.shape[1] if len(image.shape) == 4 else None
    if image.kind != "float32" or len(image.shape) != 4 or (isinstance(channels, int) and channels != 3):
        raise ModelUnfit(f"the model's input is {image.kind} {_text(image)}; it must be float32 [B, 3, H, W]")
    return image


def _text(tensor: Tensor) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in tensor.shape)}]"


def _output_names(session: Session) -> list[str]:
    """The main output and, if there is one, the output named `gate`."""
    names = list(session.outputs)
    gate = [_GATE] if _GATE in names else []
    main = [name for name in names if name not in (_GATE, _EMBEDDING)]
    if "logits" in main:
        return ["logits", *gate]
    if len(main) != 1:
        raise ModelUnfit(f"the model's outputs are {names}; one must be named 'logits', or be the only one")
    return [*main, *gate]
