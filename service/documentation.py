"""What OpenAPI says of each route. The routes read and write bytes themselves, for speed, so their
documents are written by hand; a test holds them against what the service really answers."""

from __future__ import annotations

from typing import Any, Final

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"

_ID = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
_NULLABLE_STRING = {"type": ["string", "null"]}
_NUMBER_OR_NULL = {"type": ["number", "null"]}

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:demur:problem:too-many-pixels"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "What was wrong in the request."},
        "value": {"description": "What was sent."},
        "limit": {"description": "What is accepted."},
        "request_id": {"type": "string"},
    },
}

_GUARANTEE: dict[str, Any] = {
    "type": ["object", "null"],
    "description": (
        "What is promised of the answers. kind `pac`: at most alpha of the answers are wrong, with "
        "confidence 1 - delta. kind `expectation`: only on average over calibration draws. "
        "null: nothing is promised, and guarantee_reason says why."
    ),
    "required": ["kind", "method", "alpha", "delta", "population"],
    "properties": {
        "kind": {"enum": ["pac", "expectation"]},
        "method": {"type": "string"},
        "alpha": {"type": "number"},
        "delta": _NUMBER_OR_NULL,
        "population": {"type": "string"},
        "issued": {
            "type": "string",
            "description": "Only where this machine issued the certificate itself, from the calibration "
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
        "decision": {"enum": ["answer", "abstain"]},
        "label": {"type": ["integer", "null"], "description": "null where it abstains."},
        "label_name": _NULLABLE_STRING,
        "prediction_set": {"type": "array", "items": {"type": "integer"}},
        "probability": {"type": "number", "description": "p(label 1), also where it abstains."},
        "probabilities": {
            "type": "array",
            "items": {"type": "number"},
            "description": "p(k); only for more than two classes.",
        },
        "confidence": {"type": "number", "description": "What the certified threshold is compared with."},
        "stage": {"enum": ["A", "B"]},
        "reason": {"enum": [None, "ambiguous", "atypical"]},
        "bundle": _BUNDLE,
        "guarantee": _GUARANTEE,
        "guarantee_reason": _NULLABLE_STRING,
        "audit": {"type": "boolean", "description": "Please have a person label this one."},
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
    "stage": "A",
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
    "stage": "B",
    "reason": "ambiguous",
}


def body(*contents: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"required": True, "content": dict(contents)}


def answer(description: str, schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"description": description, "content": {_JSON: content}}


def problems(**by_status: str) -> dict[str, Any]:
    """`problems(_413="why")`"""
    return {
        status.removeprefix("_"): {"description": why, "content": {_PROBLEM: {"schema": _PROBLEM_SCHEMA}}}
        for status, why in by_status.items()
    }


READING = problems(
    _400="Not an image, a truncated or an empty one, a broken form or broken JSON.",
    _408="The body did not arrive in time.",
    _413="Too many bytes or images.",
    _415="A media type or an image format that is not read here.",
    _422="Too many pixels, or a field that is missing or makes no sense.",
    _429="This client's quota is used up; Retry-After says when to come back.",
    _503="Too many images are waiting; Retry-After says when to come back.",
    _504="The deadline passed before the image was decided.",
)

_API_KEY: dict[str, Any] = {
    "name": "X-Api-Key",
    "in": "header",
    "description": "Whose quota this counts against; without it, that of the address.",
    "schema": {"type": "string"},
}
HEADERS: list[dict[str, Any]] = [
    _API_KEY,
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the prediction; made up where missing or malformed, and always sent back.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Unit-Id",
        "in": "header",
        "description": "Requests of one unit (a camera, a user) get the same bundle in an experiment.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Deadline-Ms",
        "in": "header",
        "description": "Milliseconds after which the answer is of no use; late work is not computed.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
]
_BINARY = {"type": "string", "format": "binary"}

PREDICT: Final[dict[str, Any]] = {
    "parameters": HEADERS,
    "requestBody": body(
        ("image/jpeg", {"schema": _BINARY}),
        ("image/png", {"schema": _BINARY}),
        ("image/webp", {"schema": _BINARY}),
        (
            "multipart/form-data",
            {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}},
        ),
        (
            _JSON,
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
            _JSON,
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
            "One result an image, in the order sent: a decision, or the problem with this image.",
            {
                "type": "object",
                "required": ["request_id", "results"],
                "properties": {
                    "request_id": {"type": "string"},
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
                                        "problem": _PROBLEM_SCHEMA,
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

FEEDBACK: Final[dict[str, Any]] = {
    "parameters": [_API_KEY],
    "requestBody": body(
        (
            _JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["request_id", "label"],
                    "properties": {"request_id": _ID, "label": {"type": "integer", "minimum": 0}},
                },
                "example": {"request_id": "5f0c3a", "label": 1},
            },
        )
    ),
    "responses": {
        "202": answer(
            "Kept. A label may come before its prediction, twice, or corrected; the latest holds.",
            {
                "type": "object",
                "required": ["request_id", "status"],
                "properties": {"request_id": _ID, "status": {"const": "accepted"}},
            },
            accepted={"request_id": "5f0c3a", "status": "accepted"},
        ),
        **problems(
            _400="The body is not JSON.",
            _408="The body did not arrive in time.",
            _413="The body is too large.",
            _415="The body is not declared as JSON.",
            _422="A malformed id, or a label that is no class.",
            _429="This client's quota is used up; Retry-After says when to come back.",
            _503="Labels cannot be kept now.",
        ),
    },
}

_WINDOW: dict[str, Any] = {
    "type": "object",
    "required": ["size", "n", "accuracy", "accuracy_low", "accuracy_high", "mcc", "mcc_reason", "cells"],
    "properties": {
        "size": {"type": "integer"},
        "n": {"type": "integer"},
        "accuracy": _NUMBER_OR_NULL,
        "accuracy_low": {"type": "number"},
        "accuracy_high": {"type": "number"},
        "mcc": {"type": "number"},
        "mcc_reason": _NULLABLE_STRING,
        "cells": {"type": "array", "items": {"type": "object"}},
    },
}
_SERIES: dict[str, Any] = {
    "type": "object",
    "required": ["acc", "mcc", "reward"],
    "properties": {"acc": _WINDOW, "mcc": _WINDOW, "reward": {"type": "number"}},
}

ROLLING: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "bundle",
            "in": "query",
            "description": "name:version of a bundle that serves, also a challenger; else the champion.",
            "schema": {"type": "string"},
        }
    ],
    "responses": {
        "200": answer(
            "`all`: every labelled prediction, forced to an answer; `answered`: the answered ones alone.",
            {
                "type": "object",
                "required": ["bundle", "all", "answered", "predictions", "labelled", "label_coverage"],
                "properties": {
                    "bundle": {"type": "string"},
                    "all": _SERIES,
                    "answered": _SERIES,
                    "predictions": {"type": "integer"},
                    "labelled": {"type": "integer"},
                    "label_coverage": _NUMBER_OR_NULL,
                    "label_lag_seconds": {"type": "object", "additionalProperties": _NUMBER_OR_NULL},
                    "events_waiting": {"type": "integer"},
                },
            },
        ),
        **problems(_404="This bundle does not serve.", _503="The store of the windows does not answer."),
    },
}

_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}

LIVEZ: Final[dict[str, Any]] = {"responses": {"200": answer("Alive.", _STATUS)}}
READYZ: Final[dict[str, Any]] = {
    "responses": {"200": answer("Ready.", _STATUS), **problems(_503="Stopping.")}
}
HEALTH: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "`ok`; `degraded` (the store is away or being told again what it forgot, or the event log "
            "cannot be written; it answers all the same); or `draining`; and the details.",
            {
                "type": "object",
                "required": ["status", "store", "event_log"],
                "properties": {
                    "status": {"enum": ["ok", "degraded", "draining"]},
                    "computes": {
                        "type": "object",
                        "description": "What computes the bundle, as it was obtained: engine, precision, "
                        "runtime, providers, processor; batch_sizes by stage; why it and no other.",
                    },
                    "store": {
                        "type": "object",
                        "properties": {
                            "state": {"enum": ["up", "down", "rebuilding", "off"]},
                            "events_waiting": {"type": "integer"},
                        },
                    },
                    "event_log": {"enum": ["ok", "failing", "off"]},
                },
            },
        )
    }
}
METRICS: Final[dict[str, Any]] = {
    "responses": {
        "200": {
            "description": "Prometheus text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    }
}
PAGE: Final[dict[str, Any]] = {
    "responses": {
        "200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    }
}
