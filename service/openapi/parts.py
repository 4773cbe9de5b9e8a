"""Parts that the documents of several routes share."""

from __future__ import annotations

from typing import Any, Final

from bundle.images.errors import (
    EmptyImage,
    NotAnImage,
    TooFewPixels,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    ComputeTimeout,
    DeadlinePassed,
    InvalidBase64,
    InvalidField,
    MalformedForm,
    MalformedJson,
    MissingField,
    QueueFull,
    QuotaExceeded,
    TooManyImages,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from service.problems import MEDIA_TYPE, status_of

JSON: Final = "application/json"

REPLACED_ID: dict[str, Any] = {
    "type": "string",
    "description": "Present if the X-Request-Id was malformed or too long: the id as sent, which request_id "
    "replaces.",
}
ID = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
NULLABLE_STRING = {"type": ["string", "null"]}
NUMBER_OR_NULL = {"type": ["number", "null"]}

LABEL_ACCESS: dict[str, Any] = {
    "type": "object",
    "description": "Who may send labels, and what may follow from them.",
    "required": ["open", "may_act", "note"],
    "properties": {
        "open": {"type": "boolean", "description": "No token is asked for."},
        "may_act": {
            "type": "boolean",
            "description": "Something may be done automatically on account of labels.",
        },
        "note": {"type": "string", "description": "The same in a sentence."},
    },
}

SIGNATURE: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "Whether a trusted key has signed the bundle; null if `DEMUR_SIGNATURES` is `off`.",
    "required": ["state", "key", "subject", "why"],
    "properties": {
        "state": {"enum": ["trusted", "unsigned", "refused"]},
        "key": {"type": ["string", "null"], "description": "sha256 of the public key as PEM."},
        "subject": {"type": ["string", "null"], "description": "Name in the certificate of the signer."},
        "why": {"type": ["string", "null"], "description": "Why it is not trusted."},
    },
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:demur:problem:too-many-pixels"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The part of the request at fault."},
        "value": {"description": "The value that was sent."},
        "limit": {"description": "The accepted range or limit."},
        "request_id": {"type": "string"},
    },
}


def body(*contents: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"required": True, "content": dict(contents)}


def answer(description: str, schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"description": description, "content": {JSON: content}}


def problems(*refusals: tuple[str, *tuple[type[Exception], ...]]) -> dict[str, Any]:
    """Responses by status: of each refusal its description and the errors, all of one status, behind it."""
    responses = {}
    for why, *causes in refusals:
        (status,) = {status_of(cause) for cause in causes}
        responses[str(status)] = {
            "description": why,
            "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
        }
    return responses


QUOTA_USED_UP = ("The quota of the client is used up; Retry-After gives the seconds to wait.", QuotaExceeded)
TOO_SLOW = ("The body did not arrive in time.", BodyTooSlow)

READING = problems(
    (
        "Not an image, a truncated or an empty one, a broken form or broken JSON.",
        NotAnImage,
        TruncatedImage,
        EmptyImage,
        MalformedForm,
        MalformedJson,
    ),
    TOO_SLOW,
    ("Too many bytes or images.", BodyTooLarge, TooManyBytes, TooManyImages),
    (
        "A media type or an image format that is not supported.",
        UnsupportedMediaType,
        UnsupportedEncoding,
        UnsupportedFormat,
    ),
    (
        "Too many or too few pixels, or a field that is missing or invalid.",
        TooFewPixels,
        TooManyPixels,
        MissingField,
        InvalidField,
        InvalidBase64,
    ),
    QUOTA_USED_UP,
    ("Too many images are waiting; Retry-After gives the seconds to wait.", QueueFull),
    ("The deadline passed before the image was decided.", DeadlinePassed),
    ("The model takes too long on this image, perhaps for ever.", ComputeTimeout),
)

API_KEY: dict[str, Any] = {
    "name": "X-Api-Key",
    "in": "header",
    "description": "Identifies the client for its quota; without it, the address does.",
    "schema": {"type": "string"},
}
HEADERS: list[dict[str, Any]] = [
    API_KEY,
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Id of the prediction; generated if missing or malformed, and always returned.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Unit-Id",
        "in": "header",
        "description": "Unit (a camera, a user): all its requests get the same bundle in an experiment, and "
        "its frames of a short time count once in the audits.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Slice",
        "in": "header",
        "description": "Value of the column whose values the certificate promises one by one: the monitors "
        "watch the answers of each value apart.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Deadline-Ms",
        "in": "header",
        "description": "Milliseconds after which the answer is useless; late work is not computed.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
]
