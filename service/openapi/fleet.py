"""OpenAPI documents of the private port's routes of the fleet and its promotions."""

from __future__ import annotations

from typing import Any, Final

from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidField,
    MalformedJson,
    MissingField,
    NoPromoter,
    NoPromotion,
    NoRegistryFollowed,
    NoSuchBundle,
    PromotionRefused,
    RegistryAway,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi.parts import JSON, NULLABLE_STRING, NUMBER_OR_NULL, answer, body, problems

MAX_NAME: Final = 200
MAX_TEXT: Final = 300
NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
TEXT_PATTERN: Final = r"^[^\x00-\x09\x0b-\x1f\x7f]+$"
BUNDLE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$"
"""A label, a digest or the beginning of one, an alias, or FLEET/ALIAS; never a path"""

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_AWAY = ("The registry does not answer, or cannot be read; the fleet stays as it is.", RegistryAway)
_NOT_FOLLOWING = ("The service follows no registry.", NoRegistryFollowed)
BODY: Final = (
    ("The body is not JSON.", MalformedJson),
    ("The body did not arrive in time.", BodyTooSlow),
    ("The body is too large.", BodyTooLarge),
    ("The body is not declared as JSON.", UnsupportedMediaType),
    ("Fields are missing, unknown or out of range; every one is named.", InvalidField, MissingField),
)
_WHO: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": NAME_PATTERN}
_WHY: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": TEXT_PATTERN}
_REF: dict[str, Any] = {
    "type": ["object", "null"],
    "required": ["digest", "label"],
    "properties": {"digest": {"type": "string"}, "label": {"type": "string", "description": "name:version"}},
}
_CHANGE: dict[str, Any] = {
    "type": ["object", "null"],
    "required": ["at", "by", "reason", "promotion"],
    "properties": {
        "at": {"type": "number", "description": "Unix time, seconds."},
        "by": {"type": "string"},
        "reason": {"type": "string"},
        "promotion": {**NULLABLE_STRING, "description": "The promotion that changed it."},
    },
}
_PROMOTION: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "The promotion that runs, or the last one; null if the fleet has had none.",
    "required": [
        "id",
        "newcomer",
        "running",
        "phase",
        "step",
        "since",
        "until",
        "results",
        "approval",
        "why",
    ],
    "properties": {
        "id": {"type": "string"},
        "newcomer": _REF,
        "running": {"type": "boolean"},
        "phase": {
            "type": "string",
            "description": "gates, prepare, shadow, canary, approval, everything, promoted or rolled-back.",
        },
        "step": {"type": "integer", "description": "Number within the phase, from 0."},
        "since": {"type": "number", "description": "Unix time at which the step began."},
        "until": {**NUMBER_OR_NULL, "description": "Unix time at which the step ends in a rollback."},
        "started": _CHANGE,
        "holder": {"type": "string", "description": "The promoter."},
        "results": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Outcome of each gate so far, with figure and limit.",
        },
        "approval": {"type": ["object", "null"], "description": "at, by and comment."},
        "why": {**NULLABLE_STRING, "description": "Why it was rolled back."},
        "plan": {"type": "object"},
    },
}
FLEET_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": [
        *("fleet", "registry", "generation", "changed", "champion", "previous", "challengers"),
        *("next", "experiment", "promotion", "services", "unseen"),
    ],
    "properties": {
        "fleet": {"type": "string"},
        "registry": {"type": "string", "description": "Its address, without passwords."},
        "generation": {"type": ["integer", "null"], "description": "Number of the newest record."},
        "changed": _CHANGE,
        "champion": _REF,
        "previous": {**_REF, "description": "The champion after a rollback."},
        "challengers": {"type": "array", "items": {"type": "object"}},
        "next": {**_REF, "description": "The bundle that every service opens beside the champion."},
        "experiment": {**NULLABLE_STRING, "description": "Name of the one that runs."},
        "promotion": _PROMOTION,
        "services": {
            "type": "array",
            "items": {"type": "object"},
            "description": "What each service has said within the last ten seconds: the generation that it "
            "serves, by how many it is behind, its champion, what it has prepared, and its fault.",
        },
        "unseen": {**NULLABLE_STRING, "description": "Why the services cannot be seen."},
    },
}
_PROMOTIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["fleet", "generation", "promotion"],
    "properties": {
        "fleet": {"type": "string"},
        "generation": {"type": ["integer", "null"]},
        "promotion": _PROMOTION,
    },
}


def told(required: tuple[str, ...], properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The description of a body."""
    schema = {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }
    return body((JSON, {"schema": schema, "examples": {"one": {"value": example}}}))


ENDED_BY: Final[dict[str, Any]] = told(
    ("by", "reason"), {"by": _WHO, "reason": _WHY}, {"by": "Ada", "reason": "too many complaints"}
)
FLEET: Final[dict[str, Any]] = {
    "responses": {
        "200": answer("What its record says, and what each service says of itself.", FLEET_SCHEMA),
        **problems(_NO_TOKEN, _NOT_FOLLOWING, _AWAY),
    }
}
PROMOTIONS: Final[dict[str, Any]] = {
    "responses": {
        "200": answer("The promotion, running or last.", _PROMOTIONS_SCHEMA),
        **problems(_NO_TOKEN, _NOT_FOLLOWING, _AWAY),
    }
}
PROMOTE: Final[dict[str, Any]] = {
    "requestBody": told(
        ("bundle", "by", "reason"),
        {
            "bundle": {
                "type": "string",
                "pattern": BUNDLE_PATTERN,
                "description": "A bundle of the registry: name:version, a digest or its first eight digits "
                "or more, or an alias.",
            },
            "by": _WHO,
            "reason": _WHY,
            "plan": {
                "type": ["object", "null"],
                "description": "As in the YAML file; default: the defaults.",
            },
        },
        {"bundle": "road:0123456789abcdef", "by": "Ada", "reason": "two more months of labels"},
    ),
    "responses": {
        "200": answer("It has begun; its promoter goes on by itself.", _PROMOTIONS_SCHEMA),
        **problems(
            _NO_TOKEN,
            *BODY,
            ("The registry has no such bundle.", NoSuchBundle),
            (
                "The service follows no registry, cannot start a promotion, or the promotion was refused "
                "before it changed anything.",
                *(NoRegistryFollowed, NoPromoter, PromotionRefused),
            ),
            _AWAY,
        ),
    },
}
_DECISION: dict[str, Any] = problems(
    _NO_TOKEN,
    *BODY,
    (
        "The service follows no registry, or no promotion waits for this.",
        *(NoRegistryFollowed, NoPromotion, PromotionRefused),
    ),
    _AWAY,
)
RESUME: Final[dict[str, Any]] = {
    "requestBody": told(("by",), {"by": _WHO}, {"by": "Ada"}),
    "responses": {
        "200": answer("Another promoter goes on with it.", _PROMOTIONS_SCHEMA),
        **problems(
            _NO_TOKEN,
            *BODY,
            (
                "The service follows no registry, cannot start a promoter, or none is needed.",
                *(NoRegistryFollowed, NoPromoter, NoPromotion, PromotionRefused),
            ),
            _AWAY,
        ),
    },
}
APPROVE: Final[dict[str, Any]] = {
    "requestBody": told(("by", "comment"), {"by": _WHO, "comment": _WHY}, {"by": "Ada", "comment": "seen"}),
    "responses": {"200": answer("It is approved, and goes on.", _PROMOTIONS_SCHEMA), **_DECISION},
}
ABORT: Final[dict[str, Any]] = {
    "requestBody": ENDED_BY,
    "responses": {
        "200": answer("It has ended; the champion before it serves.", _PROMOTIONS_SCHEMA),
        **_DECISION,
    },
}
