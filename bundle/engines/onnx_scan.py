"""Scan of an ONNX file for external data before a runtime opens it, without the onnx library.

An ONNX tensor may refer to another file on the machine ("external data"), by any path, and the runtime
would read it; so every tensor is examined first (CVE-2024-27318). Only the wire format of Protocol
Buffers is read: contents are skipped by their lengths, weights are never copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundle.errors import BundlePackageError

_VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5


CHILDREN: Mapping[str, Mapping[int, str]] = {
    # Field numbers of onnx.proto (IR version 3 to 13) that lead to a tensor.
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 13, 14
MAX_DEPTH = 64


class ModelRefused(BundlePackageError, ValueError):
    """The file is not an ONNX model that a bundle may hold; the message says why."""


def refuse_external_data(model: bytes) -> None:
    """Raise `ModelRefused` if a tensor of `model` is outside the file, or the file is no ONNX model."""
    if has_external_data(model):
        raise ModelRefused("the model keeps tensors in another file (ONNX external data)")


def has_external_data(model: bytes) -> bool:
    """Whether a tensor of `model` is outside the file. Raises ModelRefused for what is no ONNX model."""
    view = memoryview(model)
    graphs = 0
    pending = [("model", 0, len(view), 0)]
    while pending:
        message, start, end, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ModelRefused(f"the model nests graphs more than {MAX_DEPTH} deep")
        graphs += message == "graph"
        children = CHILDREN[message]
        for number, wire, value_start, value_end in wire_fields(view, start, end):
            if message == "tensor" and number in (TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION):
                if number == TENSOR_EXTERNAL_DATA or view[value_start] != 0:
                    return True
            elif wire == BYTES and number in children:
                pending.append((children[number], value_start, value_end, depth + 1))
    if graphs == 0:
        raise ModelRefused("the file holds no ONNX graph")
    return False


def wire_fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, wire type, start of the value, end of the value) of one message."""
    position = start
    while position < end:
        key, position = _varint(view, position, end)
        wire = key & 7
        value_start = position
        if wire == _VARINT:
            _, position = _varint(view, position, end)
        elif wire == _FIXED64:
            position += 8
        elif wire == BYTES:
            length, value_start = _varint(view, position, end)
            position = value_start + length
        elif wire == _FIXED32:
            position += 4
        else:
            raise ModelRefused("the file is not an ONNX model, or is damaged")
        if position > end:
            raise ModelRefused("the ONNX file is truncated or damaged")
        yield key >> 3, wire, value_start, position


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ModelRefused("the ONNX file is truncated or damaged")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelRefused("the file is not an ONNX model, or is damaged")
