"""OpenAPI documents of the private port's routes of the promise monitors."""

from __future__ import annotations

from typing import Any, Final

from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidField,
    MalformedJson,
    MissingField,
    NoSuchBundle,
    StoreUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi.parts import JSON, NUMBER_OR_NULL, answer, body, problems

MAX_TEXT: Final = 300

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_BUNDLE: dict[str, Any] = {
    "type": "object",
    "required": ["bundle", "begin", "alarms", "resets"],
    "properties": {
        "bundle": {"type": "string", "description": "name:version"},
        "begin": {**NUMBER_OR_NULL, "description": "Unix time of its last activation or reset."},
        "alarms": {
            "type": "array",
            "description": "Alarms that stand: signal, part, at, e_value, and whether the labels may act.",
            "items": {"type": "object"},
        },
        "resets": {
            "type": "array",
            "description": "When, by whom and why alarms were ended.",
            "items": {"type": "object"},
        },
    },
}

PROMISE: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "What is kept of each bundle that was activated, has alarmed or was reset.",
            {
                "type": "object",
                "required": ["bundles"],
                "properties": {"bundles": {"type": "array", "items": _BUNDLE}},
            },
        ),
        **problems(_NO_TOKEN),
    }
}
RESET: Final[dict[str, Any]] = {
    "requestBody": body(
        (
            JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["name", "reason"],
                    "properties": {
                        name: {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
                        for name in ("name", "reason")
                    },
                    "additionalProperties": False,
                },
                "examples": {"mended": {"value": {"name": "Ada", "reason": "the lens was cleaned"}}},
            },
        )
    ),
    "responses": {
        "200": answer("The alarms are ended; the monitor begins anew, and the bundle may answer.", _BUNDLE),
        **problems(
            ("The body is not JSON.", MalformedJson),
            _NO_TOKEN,
            ("There is no bundle of this name and version.", NoSuchBundle),
            ("The body did not arrive in time.", BodyTooSlow),
            ("The body is too large.", BodyTooLarge),
            ("The body is not declared as JSON.", UnsupportedMediaType),
            ("A field is missing or malformed.", InvalidField, MissingField),
            ("The data folder does not keep the reset.", StoreUnavailable),
        ),
    },
}
