"""The outputs of an ONNX classifier, of which a bundle needs a single one.

Only the wire format of Protocol Buffers is read and written, so that `demur wrap` needs no onnx library.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bundle.engines.external_data import delimited, read_model
from bundle.engines.onnx_scan import BYTES, wire_fields
from trainer.errors import RunError

_MODEL_GRAPH: Final = 7
_GRAPH_OUTPUT: Final = 12
_VALUE_NAME: Final = 1
_LOGITS = "logits"
_BESIDE = ("gate", "embedding")
"""Outputs that may be beside the main one"""


class OutputUnknown(RunError):
    """The model has several outputs and none is named, or it has no output of this name."""


def read_with_output(model: Path, output: str | None = None) -> bytes:
    """The content of `model` as one file, with `output` as its only output.

    None keeps the outputs as they are; they must then be a single one, or hold `logits`; others named `gate`
    and `embedding` may be beside it. Raises `OutputUnknown` and `ModelRefused`.
    """
    content = read_model(model)
    names = output_names(content)
    if output is None:
        main = [name for name in names if name not in _BESIDE]
        if len(main) > 1 and _LOGITS not in main:
            raise OutputUnknown(
                f"{model.name} has the outputs {', '.join(main)}; name the one that tells the classes apart "
                "with --output-name"
            )
        return content
    if output not in names:
        raise OutputUnknown(f"{model.name} has no output {output!r}; its outputs are {', '.join(names)}")
    return content if names == (output,) else _with_one_output(content, output)


def output_names(content: bytes) -> tuple[str, ...]:
    """Names of the graph's outputs, in their order."""
    view = memoryview(content)
    return tuple(
        _name(view, start, end)
        for number, wire, _, graph_start, graph_end in _with_keys(view, 0, len(view))
        if number == _MODEL_GRAPH and wire == BYTES
        for inner, _, _, start, end in _with_keys(view, graph_start, graph_end)
        if inner == _GRAPH_OUTPUT
    )


def _with_one_output(content: bytes, output: str) -> bytes:
    view = memoryview(content)
    parts: list[bytes | memoryview] = []
    for number, wire, key, start, end in _with_keys(view, 0, len(view)):
        if number == _MODEL_GRAPH and wire == BYTES:
            graph = [
                view[inner_key:inner_end]
                for inner, _, inner_key, inner_start, inner_end in _with_keys(view, start, end)
                if inner != _GRAPH_OUTPUT or _name(view, inner_start, inner_end) == output
            ]
            parts += delimited(number, graph)
        else:
            parts.append(view[key:end])
    return b"".join(parts)


def _with_keys(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(field number, wire type, start of the key, start and end of the value) of one message."""
    key = start
    for number, wire, value_start, value_end in wire_fields(view, start, end):
        yield number, wire, key, value_start, value_end
        key = value_end


def _name(view: memoryview, start: int, end: int) -> str:
    """The name of a ValueInfoProto."""
    names = (bytes(view[a:b]) for number, _, a, b in wire_fields(view, start, end) if number == _VALUE_NAME)
    return next(names, b"").decode("utf-8", "replace")
