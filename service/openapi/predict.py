"""OpenAPI documents of /predict and /predict/batch."""

from __future__ import annotations

from typing import Any, Final, get_args

from calibration.certificate import Kind
from calibration.decision import STAGE_NAMES, DecisionKind, Reason
from service.openapi.parts import (
    HEADERS,
    JSON,
    NULLABLE_STRING,
    NUMBER_OR_NULL,
    PROBLEM_SCHEMA,
    READING,
    REPLACED_ID,
    answer,
    body,
)

_GUARANTEE: dict[str, Any] = {
    "type": ["object", "null"],
    "description": (
        "The promise on the answers. kind `pac`: at most alpha of the answers are wrong, with "
        "confidence 1 - delta. kind `expectation`: only on average over calibration draws. "
        "null: no promise; guarantee_reason gives the reason."
    ),
    "required": ["kind", "method", "alpha", "delta", "population"],
    "properties": {
        "kind": {"enum": list(get_args(Kind))},
        "method": {"type": "string"},
        "alpha": {"type": "number"},
        "delta": NUMBER_OR_NULL,
        "population": {"type": "string"},
        "doubt": {
            "type": "string",
            "description": "Present if nobody has said whether the calibration images are independent: the "
            "reason to doubt it, in one sentence.",
        },
        "prevalence": {
            "type": "array",
            "description": "Present if the promise holds for an interval of class shares: (least, largest) "
            "share of class 1 of two classes, else one such pair per class.",
        },
        "prevalence_of": {"type": "array", "items": {"type": "string"}, "description": "Their classes."},
        "condition": {
            "type": "string",
            "description": "The same in words: `as long as between 10 % and 40 % of the images are roadwork "
            "and each class looks as it did`.",
        },
        "issued": {
            "type": "string",
            "description": "Present if this machine issued the certificate itself, from the calibration "
            "images that the bundle carries.",
        },
    },
}

_BUNDLE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "version"],
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}},
}

_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": [
        "request_id", "decision", "label", "label_name", "prediction_set", "probability", "confidence",
        "stage", "reason", "bundle", "guarantee", "guarantee_reason", "audit", "timing_ms",
    ],
    "properties": {
        "request_id": {"type": "string"},
        "replaced_request_id": REPLACED_ID,
        "decision": {"enum": list(get_args(DecisionKind))},
        "label": {"type": ["integer", "null"], "description": "null in an abstention."},
        "label_name": NULLABLE_STRING,
        "prediction_set": {"type": "array", "items": {"type": "integer"}},
        "probability": {"type": "number", "description": "p(label 1), present even in an abstention."},
        "probabilities": {
            "type": "array",
            "items": {"type": "number"},
            "description": "p(k); only for more than two classes.",
        },
        "confidence": {"type": "number", "description": "Score compared with the certified threshold."},
        "stage": {"enum": list(STAGE_NAMES)},
        "reason": {"enum": [None, *get_args(Reason)]},
        "bundle": _BUNDLE,
        "guarantee": _GUARANTEE,
        "guarantee_reason": NULLABLE_STRING,
        "audit": {"type": "boolean", "description": "Whether this prediction was drawn for labelling."},
        "timing_ms": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}  # fmt: skip

_ANSWERED: dict[str, Any] = {
    "request_id": "5f0c3a",
    "decision": "answer",
    "label": 1,
    "label_name": "roadwork",
    "prediction_set": [1],
    "probability": 0.9987,
    "confidence": 6.64,
    "stage": STAGE_NAMES[0],
    "reason": None,
    "bundle": {"name": "roadwork", "version": "0f3c9a2be47d5168"},
    "guarantee": {"kind": "pac", "method": "exact", "alpha": 0.01, "delta": 0.05, "population": "image"},
    "guarantee_reason": None,
    "audit": False,
    "timing_ms": {"queue": 0.02, "read": 0.0, "decode": 1.9, "stage_a": 2.4, "total": 4.5},
}
_ABSTAINED: dict[str, Any] = {
    **_ANSWERED,
    "decision": "abstain",
    "label": None,
    "label_name": None,
    "prediction_set": [0, 1],
    "probability": 0.61,
    "confidence": 0.45,
    "stage": STAGE_NAMES[1],
    "reason": "ambiguous",
}


_BINARY = {"type": "string", "format": "binary"}

PREDICT: Final[dict[str, Any]] = {
    "parameters": HEADERS,
    "requestBody": body(
        ("image/jpeg", {"schema": _BINARY}),
        ("image/png", {"schema": _BINARY}),
        ("image/webp", {"schema": _BINARY}),
        (
            "application/octet-stream",
            {"schema": {**_BINARY, "description": "The bytes decide, as they do under any image type."}},
        ),
        (
            "multipart/form-data",
            {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}},
        ),
        (
            JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "contentEncoding": "base64"}},
                }
            },
        ),
    ),
    "responses": {
        "200": answer("The decision.", _PREDICTION, answered=_ANSWERED, abstained=_ABSTAINED),
        **READING,
    },
}

PREDICT_BATCH: Final[dict[str, Any]] = {
    "parameters": HEADERS,
    "requestBody": body(
        (
            "multipart/form-data",
            {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": _BINARY}},
                }
            },
        ),
        (
            JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "contentEncoding": "base64"},
                        }
                    },
                }
            },
        ),
    ),
    "responses": {
        "200": answer(
            "One result per image, in the order sent: a decision, or the problem with this image.",
            {
                "type": "object",
                "required": ["request_id", "results"],
                "properties": {
                    "request_id": {"type": "string"},
                    "replaced_request_id": REPLACED_ID,
                    "results": {
                        "type": "array",
                        "items": {
                            "anyOf": [
                                _PREDICTION,
                                {
                                    "type": "object",
                                    "required": ["request_id", "problem"],
                                    "properties": {
                                        "request_id": {"type": "string"},
                                        "problem": PROBLEM_SCHEMA,
                                    },
                                },
                            ]
                        },
                    },
                },
            },
        ),
        **READING,
    },
}
