"""Weights in a second file ("ONNX external data"), taken into the model, without the onnx library.

torch writes such models by default, but a bundle holds whole models only. The file is rewritten in the wire
format of Protocol Buffers: a tensor that refers to a file gets its bytes instead (onnx.proto, TensorProto).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bundle.engines.onnx_scan import (
    BYTES,
    CHILDREN,
    MAX_DEPTH,
    TENSOR_DATA_LOCATION,
    TENSOR_EXTERNAL_DATA,
    ModelRefused,
    has_external_data,
    wire_fields,
)

_RAW_DATA: Final = 9
_KEY, _VALUE = 1, 2
_MAX_BYTES: Final = 2**31 - 1
"""Of one message in Protocol Buffers."""
_REMEDY: Final = (
    "save the model as a single file: torch.onnx.export(..., external_data=False), or "
    "onnx.save(onnx.load(path), path)"
)
Part = bytes | memoryview


def read_model(path: Path) -> bytes:
    """The model in an ONNX file, with weights from files beside it taken in.

    Raises ModelRefused for what is no ONNX model, for a file of weights that is missing, too short or
    outside the folder of the model, and for a model of 2 GB or more; OSError if `path` cannot be read.
    """
    content = path.read_bytes()
    if not has_external_data(content):
        return content
    view = memoryview(content)
    parts = _rewritten(view, 0, len(view), "model", _Weights(path))
    return b"".join(parts)


class _Weights:
    """The files of weights beside a model; counts what is taken from them."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._folder = model.parent.resolve()
        self._taken = 0

    def read(self, entries: dict[str, str]) -> bytes:
        location = entries.get("location", "")
        file = (self._folder / location.replace("\0", "")).resolve()
        if not location or "\0" in location or not file.is_relative_to(self._folder):
            raise ModelRefused(
                f"{self._model.name} keeps weights in {location!r}, which is outside of its folder; {_REMEDY}"
            )
        if not file.is_file():
            raise ModelRefused(
                f"{self._model.name} keeps weights in {location!r}, which is not in its folder; "
                f"put it there, or {_REMEDY}"
            )
        try:
            offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
        except ValueError:
            offset = length = -2
        size = file.stat().st_size
        length = size - offset if length == -1 else length
        if offset < 0 or length < 0 or offset + length > size:
            raise ModelRefused(
                f"{self._model.name} needs {length} bytes at {offset} of {location!r}, which has {size}"
            )
        self._taken += length
        if self._taken > _MAX_BYTES:
            raise ModelRefused(f"{self._model.name} has 2 GB of weights or more, which no bundle holds")
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)


def _rewritten(
    view: memoryview, start: int, end: int, message: str, weights: _Weights, depth: int = 0
) -> list[Part]:
    """The message between `start` and `end`, in parts, with the weights of its tensors inside."""
    if depth > MAX_DEPTH:
        raise ModelRefused(f"the model nests graphs more than {MAX_DEPTH} deep")
    children = CHILDREN[message]
    parts: list[Part] = []
    entries: dict[str, str] = {}
    external = False
    field_start = start
    for number, wire, value_start, value_end in wire_fields(view, start, end):
        if message == "tensor" and number == TENSOR_EXTERNAL_DATA:
            external = True
            entries |= _entry(view, value_start, value_end)
        elif message == "tensor" and number == TENSOR_DATA_LOCATION:
            external = external or view[value_start] != 0
        elif wire == BYTES and number in children:
            inner = _rewritten(view, value_start, value_end, children[number], weights, depth + 1)
            parts += delimited(number, inner)
        else:
            parts.append(view[field_start:value_end])
        field_start = value_end
    if external:
        parts += delimited(_RAW_DATA, [weights.read(entries)])
    return parts


def _entry(view: memoryview, start: int, end: int) -> dict[str, str]:
    """One StringStringEntryProto."""
    texts = {
        number: bytes(view[value_start:value_end]).decode("utf-8", "replace")
        for number, wire, value_start, value_end in wire_fields(view, start, end)
        if wire == BYTES
    }
    return {texts.get(_KEY, ""): texts.get(_VALUE, "")}


def delimited(number: int, content: Sequence[Part]) -> list[Part]:
    """A field of bytes: its key, its length, its content."""
    return [_varint(number << 3 | BYTES), _varint(sum(map(len, content))), *content]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
