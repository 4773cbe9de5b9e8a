"""OpenAPI documents of the Open Inference Protocol's routes."""

from __future__ import annotations

from typing import Any, Final

from service.errors import NoSuchModel
from service.openapi.parts import HEADERS, READING, REPLACED_ID, answer, body, problems
from service.openapi.status import NOT_READY

_NO_MODEL = problems(("No model of this name, or no such version of it.", NoSuchModel))
_PARAMETERS = {"type": "object", "description": "Extensions."}


def _path(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["BYTES", "BOOL", "INT64", "FP64"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
    },
}

SERVER: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "Its name, version and extensions.",
            {
                "type": "object",
                "required": ["name", "version", "extensions"],
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "string"},
                    "extensions": {"type": "array", "items": {"type": "string"}},
                },
            },
        )
    }
}
LIVE: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "Alive.", {"type": "object", "required": ["live"], "properties": {"live": {"const": True}}}
        )
    }
}


def _ready(*required: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": [*required, "ready"],
        "properties": {"name": {"type": "string"}, "ready": {"const": True}},
    }
    return {"200": answer("Ready.", schema), **NOT_READY}


READY: Final[dict[str, Any]] = {"responses": _ready()}

_METADATA: dict[str, Any] = {
    "200": answer(
        "The input is `image`, encoded as JPEG, PNG or WEBP; the outputs are the decision's fields.",
        {
            "type": "object",
            "required": ["name", "versions", "platform", "inputs", "outputs"],
            "properties": {
                "name": {"type": "string"},
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": {"type": "string", "description": "Engine and precision."},
                "inputs": {"type": "array", "items": _TENSOR},
                "outputs": {"type": "array", "items": _TENSOR},
            },
        },
    ),
    **_NO_MODEL,
}
_INFER_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": _PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape", "data"],
                "properties": {
                    "name": {"const": "image"},
                    "datatype": {"const": "BYTES"},
                    "shape": {
                        "type": "array",
                        "maxItems": 8,
                        "items": {"type": "integer", "minimum": 1},
                        "description": "[images], or lengths whose product is the number of images; the "
                        "outputs have them in row-major order.",
                    },
                    "parameters": _PARAMETERS,
                    "data": {
                        "type": "array",
                        "description": "Base64 strings, in one list or nested as the shape says.",
                    },
                },
            },
        },
        "outputs": {
            "type": "array",
            "description": "The requested outputs; all if absent.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
            },
        },
    },
}
_INFER: dict[str, Any] = {
    "requestBody": body(
        (
            "application/json",
            {
                "schema": _INFER_BODY,
                "example": {
                    "id": "5f0c3a",
                    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["/9j/4AAQ..."]}],
                },
            },
        ),
        (
            "application/octet-stream",
            {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": (
                        "The binary tensor extension: JSON of Inference-Header-Content-Length bytes, in "
                        "which the input has parameters.binary_data_size instead of data, then each image "
                        "behind its length in 4 bytes, little endian."
                    ),
                }
            },
        ),
    ),
    "responses": {
        "200": answer(
            "One tensor per output. `label` is -1 and `label_name` empty in an abstention; "
            "`prediction_set` has a row of K flags per image; `request_id` is the id for /feedback.",
            {
                "type": "object",
                "required": ["model_name", "model_version", "id", "outputs"],
                "properties": {
                    "model_name": {"type": "string"},
                    "model_version": {"type": "string"},
                    "id": {"type": "string"},
                    "parameters": {
                        "type": "object",
                        "properties": {"promise": {"type": "string"}, "replaced_request_id": REPLACED_ID},
                        "description": "`promise`: the guarantee on the answers, in a sentence.",
                    },
                    "outputs": {
                        "type": "array",
                        "items": {
                            **_TENSOR,
                            "properties": {**_TENSOR["properties"], "data": {"type": "array"}},
                        },
                    },
                },
            },
        ),
        **READING,
        **_NO_MODEL,
    },
}
_JSON_LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of JSON before the binary tensors; absent without binary tensors.",
    "schema": {"type": "integer", "minimum": 0},
}
_INFER_HEADERS = [*HEADERS, _JSON_LENGTH]

MODEL: Final[dict[str, Any]] = {"parameters": _path("name"), "responses": _METADATA}
MODEL_VERSION: Final[dict[str, Any]] = {"parameters": _path("name", "version"), "responses": _METADATA}
MODEL_READY: Final[dict[str, Any]] = {
    "parameters": _path("name"),
    "responses": {**_ready("name"), **_NO_MODEL},
}
VERSION_READY: Final[dict[str, Any]] = {**MODEL_READY, "parameters": _path("name", "version")}
INFER: Final[dict[str, Any]] = {"parameters": [*_path("name"), *_INFER_HEADERS], **_INFER}
VERSION_INFER: Final[dict[str, Any]] = {
    "parameters": [*_path("name", "version"), *_INFER_HEADERS],
    **_INFER,
}
