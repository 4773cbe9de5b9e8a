"""OpenAPI documents of /feedback and /feedback/batch."""

from __future__ import annotations

from typing import Any, Final

from service.errors import (
    MAX_LABELS,
    BodyTooLarge,
    InvalidField,
    MalformedJson,
    MissingField,
    StoreUnavailable,
    TooManyLabels,
    Unauthorized,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from service.openapi.parts import (
    API_KEY,
    ID,
    JSON,
    NULLABLE_STRING,
    PROBLEM_SCHEMA,
    QUOTA_USED_UP,
    TOO_SLOW,
    answer,
    body,
    problems,
)

SENDER: Final = (
    "Token of a sender of labels, where the service asks for one (`labels.open` of /health is false)."
)
_NO_TOKEN = ("Labels need a token here, and it is missing or wrong.", Unauthorized)
_LABEL: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "label"],
    "properties": {
        "request_id": ID,
        "label": {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
            "description": "Index of the class, or its name.",
        },
    },
}
_ACCEPTED: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "status"],
    "properties": {"request_id": ID, "status": {"const": "accepted"}},
}
_NOT_KEPT = ("Labels cannot be kept now.", StoreUnavailable)

FEEDBACK: Final[dict[str, Any]] = {
    "parameters": [API_KEY],
    "requestBody": body((JSON, {"schema": _LABEL, "example": {"request_id": "5f0c3a", "label": 1}})),
    "responses": {
        "202": answer(
            "Accepted. A label may arrive before its prediction, twice, or corrected; the latest one counts.",
            _ACCEPTED,
            accepted={"request_id": "5f0c3a", "status": "accepted"},
        ),
        **problems(
            ("The body is not JSON.", MalformedJson),
            _NO_TOKEN,
            TOO_SLOW,
            ("The body is too large.", BodyTooLarge),
            ("The body is not declared as JSON.", UnsupportedMediaType, UnsupportedEncoding),
            ("A malformed id, or a label that is no class.", InvalidField, MissingField),
            QUOTA_USED_UP,
            _NOT_KEPT,
        ),
    },
}
FEEDBACK_BATCH: Final[dict[str, Any]] = {
    "parameters": [API_KEY],
    "requestBody": body(
        (
            JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["labels"],
                    "properties": {
                        "labels": {"type": "array", "minItems": 1, "maxItems": MAX_LABELS, "items": _LABEL}
                    },
                },
                "example": {
                    "labels": [{"request_id": "5f0c3a", "label": 1}, {"request_id": "5f0c3b", "label": 0}]
                },
            },
        )
    ),
    "responses": {
        "202": answer(
            "One result per label, in the order sent: accepted, or the problem with this label. Labels of "
            "one batch that differ for one id are all refused.",
            {
                "type": "object",
                "required": ["accepted", "results"],
                "properties": {
                    "accepted": {"type": "integer", "description": "Number of labels accepted."},
                    "results": {
                        "type": "array",
                        "items": {
                            "anyOf": [
                                _ACCEPTED,
                                {
                                    "type": "object",
                                    "required": ["request_id", "problem"],
                                    "properties": {
                                        "request_id": {
                                            **NULLABLE_STRING,
                                            "description": "As sent; null if it is no string.",
                                        },
                                        "problem": PROBLEM_SCHEMA,
                                    },
                                },
                            ]
                        },
                    },
                },
            },
        ),
        **problems(
            ("The body is not JSON.", MalformedJson),
            _NO_TOKEN,
            TOO_SLOW,
            ("The body is too large, or has too many labels.", BodyTooLarge, TooManyLabels),
            ("The body is not declared as JSON.", UnsupportedMediaType, UnsupportedEncoding),
            ("The body has no list of labels.", InvalidField, MissingField),
            QUOTA_USED_UP,
            _NOT_KEPT,
        ),
    },
}
