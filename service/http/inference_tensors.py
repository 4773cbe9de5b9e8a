"""Tensors of the Open Inference Protocol: an infer request to encoded images, decisions to tensors.

An element of a BYTES tensor is an encoded image: in JSON as base64; in the binary extension as it is,
preceded by its length (4 bytes, little endian). The extension puts the binary tensors after the JSON, whose
length the header Inference-Header-Content-Length gives.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import orjson

from service.errors import InvalidField, TooManyImages
from service.http.base64_text import decode_base64
from service.http.bodies import ImageReader, json_object

INPUT: Final = "image"
JSON_LENGTH: Final = "Inference-Header-Content-Length"
NO_LABEL: Final = -1
_LENGTH: Final = struct.Struct("<I")
_MAX_DIMENSIONS: Final = 8

Column = Callable[[Mapping[str, Any]], Any]
"""From the body of an answer, as /predict gives it, to the element of a tensor."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output of every model; its shape is [images], or [images, K] if it is `wide`."""

    name: str
    datatype: str
    column: Column
    wide: bool = False


_TYPES: Final[Mapping[str, type[np.generic]]] = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_}


def outputs_for(classes: int) -> tuple[OutputTensor, ...]:
    """The outputs of a model with so many classes, in their order."""
    return (
        OutputTensor("request_id", "BYTES", lambda answer: answer["request_id"]),
        OutputTensor("decision", "BYTES", lambda answer: answer["decision"]),
        OutputTensor("label", "INT64", lambda answer: _or(answer["label"], NO_LABEL)),
        OutputTensor("label_name", "BYTES", lambda answer: _or(answer["label_name"], "")),
        OutputTensor("probability", "FP64", lambda answer: answer["probability"]),
        OutputTensor("confidence", "FP64", lambda answer: answer["confidence"]),
        OutputTensor(
            "prediction_set",
            "BOOL",
            lambda answer: [k in answer["prediction_set"] for k in range(classes)],
            wide=True,
        ),
        OutputTensor("stage", "BYTES", lambda answer: answer["stage"]),
        OutputTensor("reason", "BYTES", lambda answer: _or(answer["reason"], "")),
        OutputTensor("audit", "BOOL", lambda answer: answer["audit"]),
    )


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client requests, and its form."""

    tensor: OutputTensor
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed infer request."""

    id: str | None
    readers: tuple[ImageReader, ...]
    outputs: tuple[RequestedOutput, ...]


def infer_request(
    body: bytes, json_length: str | None, outputs: Sequence[OutputTensor], limit: int
) -> InferRequest:
    """Parse a body with at most `limit` images. `json_length` is the header of that name.

    Raises MalformedJson, InvalidField and TooManyImages; each image's reader raises RequestError for what is
    wrong with that image.
    """
    head, binary = _split(body, json_length)
    content = json_object(head)
    given_id = content.get("id")
    if given_id is not None and not isinstance(given_id, str):
        raise _invalid("id", "id must be a string")
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _invalid("inputs", f"inputs must be a list of one tensor, {INPUT!r}")
    readers = _readers(inputs[0], binary, limit)
    return InferRequest(given_id, tuple(readers), tuple(_requested(content, outputs)))


def infer_response(
    head: Mapping[str, Any], outputs: Sequence[RequestedOutput], answers: Sequence[Mapping[str, Any]]
) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON if binary tensors follow it.

    `head`: everything but the outputs; `answers`: one per image, as /predict gives them.
    """
    described: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for requested in outputs:
        tensor = requested.tensor
        values = [tensor.column(answer) for answer in answers]
        shape = [len(values), len(values[0])] if tensor.wide else [len(values)]
        output: dict[str, Any] = {"name": tensor.name, "shape": shape, "datatype": tensor.datatype}
        if requested.binary:
            packed = _packed(tensor.datatype, values)
            output["parameters"] = {"binary_data_size": len(packed)}
            tail.append(packed)
        else:
            output["data"] = [cell for row in values for cell in row] if tensor.wide else values
        described.append(output)
    text = orjson.dumps({**head, "outputs": described})
    return b"".join([text, *tail]), len(text) if tail else None


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) <= 12):
        raise _invalid(JSON_LENGTH, f"{JSON_LENGTH} must be a whole number of bytes", json_length[:64])
    length = int(json_length)
    if length > len(body):
        raise _invalid(JSON_LENGTH, f"the body has {len(body)} bytes, fewer than its JSON", length, len(body))
    return body[:length], body[length:]


def _readers(tensor: Mapping[str, Any], binary: bytes, limit: int) -> list[ImageReader]:
    if tensor.get("name") != INPUT:
        raise _invalid("inputs[0].name", f"the only input is {INPUT!r}", _shown(tensor.get("name")))
    if tensor.get("datatype") != "BYTES":
        raise _invalid(
            "inputs[0].datatype",
            "an image is given as it is encoded, as BYTES",
            _shown(tensor.get("datatype")),
        )
    shape = _shape(tensor.get("shape"), limit)
    count = math.prod(shape)
    size = _parameters(tensor, "inputs[0]").get("binary_data_size")
    if size is None:
        data = _flat(tensor.get("data"), shape)
        if data is None:
            raise _invalid(
                "inputs[0].data",
                f"data must be a list of {count} base64 strings, flat or nested as the shape {shape} says",
                limit=count,
            )
        return [partial(decode_base64, text, f"inputs[0].data[{i}]") for i, text in enumerate(data)]
    if type(size) is not int or size != len(binary):
        raise _invalid(
            "inputs[0].parameters.binary_data_size",
            f"{len(binary)} bytes follow the JSON",
            _shown(size),
            len(binary),
        )
    return [partial(_as_is, element) for element in _elements(binary, count)]


def _shape(shape: Any, limit: int) -> list[int]:
    """The lengths of a tensor of at most `limit` images; all shapes hold them in row-major order."""
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMENSIONS
        or any(type(length) is not int or length < 1 for length in shape)
    ):
        raise _invalid(
            "inputs[0].shape",
            f"the shape must be [images], or at most {_MAX_DIMENSIONS} lengths of 1 or more whose product is "
            "the number of images",
            limit=_MAX_DIMENSIONS,
        )
    count = math.prod(shape)
    if count > limit:
        raise TooManyImages(
            f"the request has {count} images; at most {limit} are accepted",
            field="inputs[0].shape",
            value=_shown(count),
            limit=limit,
        )
    return shape


def _flat(data: Any, shape: Sequence[int]) -> list[Any] | None:
    """The elements of `data`, which the protocol allows flat or nested as its shape says; None if it is
    neither."""
    if isinstance(data, list) and len(data) == math.prod(shape) and not any(map(_is_list, data)):
        return data
    return _unnested(data, shape)


def _unnested(data: Any, shape: Sequence[int]) -> list[Any] | None:
    if not shape:
        return None if _is_list(data) else [data]
    if not isinstance(data, list) or len(data) != shape[0]:
        return None
    rows = [_unnested(row, shape[1:]) for row in data]
    return None if None in rows else [element for row in rows if row is not None for element in row]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _elements(binary: bytes, count: int) -> list[bytes]:
    elements, at = [], 0
    for _ in range(count):
        start = at + _LENGTH.size
        if start > len(binary):
            break
        at = start + _LENGTH.unpack_from(binary, at)[0]
        elements.append(binary[start:at])
    if len(elements) != count or at != len(binary):
        raise _invalid(
            "inputs[0]", f"the binary tensor must be {count} elements, each behind its length in 4 bytes"
        )
    return elements


def _requested(content: Mapping[str, Any], outputs: Sequence[OutputTensor]) -> list[RequestedOutput]:
    all_binary = _parameters(content, "body").get("binary_data_output", False) is True
    listed = content.get("outputs")
    if listed is None or listed == []:
        return [RequestedOutput(tensor, all_binary) for tensor in outputs]
    if not isinstance(listed, list) or len(listed) > len(outputs):
        raise _invalid("outputs", f"outputs must be a list of at most {len(outputs)}", limit=len(outputs))
    by_name = {tensor.name: tensor for tensor in outputs}
    requested = []
    for index, output in enumerate(listed):
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in by_name:
            raise _invalid(f"outputs[{index}].name", "there is no such output", _shown(name), list(by_name))
        binary = _parameters(output, f"outputs[{index}]").get("binary_data", all_binary)
        requested.append(RequestedOutput(by_name[name], binary is True))
    return requested


def _parameters(owner: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise _invalid(f"{where}.parameters", "parameters must be an object")
    return parameters


def _packed(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    array = np.asarray(values, dtype=_TYPES[datatype])
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _as_is(element: bytes) -> bytes:
    return element


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _shown(value: Any) -> Any:
    """The part of a value that a problem document may repeat."""
    if isinstance(value, str):
        return value[:64]
    return (
        value if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63) else None
    )


def _invalid(field: str, detail: str, value: Any = None, limit: Any = None) -> InvalidField:
    return InvalidField(detail, field=field, value=value, limit=limit)
