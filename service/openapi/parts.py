"""What the documents of several routes have in common."""

from __future__ import annotations

from typing import Any, Final

JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"

ID = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
NULLABLE_STRING = {"type": ["string", "null"]}
NUMBER_OR_NULL = {"type": ["number", "null"]}

PROBLEM_SCHEMA: dict[str, Any] = {
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


def body(*contents: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"required": True, "content": dict(contents)}


def answer(description: str, schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"description": description, "content": {JSON: content}}


def problems(**by_status: str) -> dict[str, Any]:
    """`problems(_413="why")`"""
    return {
        status.removeprefix("_"): {"description": why, "content": {_PROBLEM: {"schema": PROBLEM_SCHEMA}}}
        for status, why in by_status.items()
    }


QUOTA_USED_UP = "This client's quota is used up; Retry-After says when to come back."
TOO_SLOW = "The body did not arrive in time."

READING = problems(
    _400="Not an image, a truncated or an empty one, a broken form or broken JSON.",
    _408=TOO_SLOW,
    _413="Too many bytes or images.",
    _415="A media type or an image format that is not read here.",
    _422="Too many pixels, or a field that is missing or makes no sense.",
    _429=QUOTA_USED_UP,
    _503="Too many images are waiting; Retry-After says when to come back.",
    _504="The deadline passed before the image was decided.",
)

API_KEY: dict[str, Any] = {
    "name": "X-Api-Key",
    "in": "header",
    "description": "Whose quota this counts against; without it, that of the address.",
    "schema": {"type": "string"},
}
HEADERS: list[dict[str, Any]] = [
    API_KEY,
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
