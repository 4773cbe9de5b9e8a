"""OpenAPI documents of the private port's routes of the alerts."""

from __future__ import annotations

from typing import Any, Final

from service.errors import (
    AlertNotOpen,
    BodyTooLarge,
    BodyTooSlow,
    InvalidField,
    MalformedJson,
    MissingField,
    NoSuchAlert,
    NoSuchSilence,
    StoreUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi.parts import JSON, NUMBER_OR_NULL, answer, body, problems
from service.openapi.promise import MAX_TEXT

LONGEST_SILENCE: Final = 30 * 86_400.0
MAX_SILENCES: Final = 100

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_LABELS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
_ALERT: dict[str, Any] = {
    "type": "object",
    "required": ["fingerprint", "rule", "severity", "state", "labels"],
    "properties": {
        "fingerprint": {"type": "string", "description": "Stands for the rule and the labels."},
        "rule": {"type": "string"},
        "severity": {"type": "string", "enum": ["critical", "warning", "info"]},
        "state": {
            "type": "string",
            "enum": ["pending", "firing", "acknowledged", "escalated", "resolved"],
        },
        "labels": _LABELS,
        **{
            name: {**NUMBER_OR_NULL, "description": about}
            for name, about in {
                "opened": "Unix time at which its condition was first seen.",
                "fired_at": "Unix time.",
                "resolved_at": "Unix time.",
                "value": "The figure; null without one.",
                "low": "Lower end of its 95 % interval.",
                "high": "Upper end of its 95 % interval.",
                "n": "Cases behind the figure.",
                "since": "Unix time since which it is so.",
            }.items()
        },
        "text": {"type": "string", "description": "A sentence with the figures."},
        "action": {"type": "string", "description": "What to do."},
        "runbook": {"type": "string"},
        "silenced_by": {"type": "array", "items": {"type": "string"}},
        "told": {"type": "array", "items": {"type": "string"}},
        "acts": {
            "type": "array",
            "description": "Who did what, why and when.",
            "items": {"type": "object"},
        },
        "applied": {
            "type": "boolean",
            "description": "Whether an engine has taken up what was done; if not, it does when it runs.",
        },
    },
}
_SILENCE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "matchers", "begins", "until", "name", "reason", "in_force"],
    "properties": {
        "id": {"type": "string"},
        "matchers": _LABELS,
        "begins": {"type": "number"},
        "until": {"type": "number"},
        "name": {"type": "string"},
        "reason": {"type": "string"},
        "ended_at": NUMBER_OR_NULL,
        "ended_by": {"type": "string"},
        "in_force": {"type": "boolean"},
    },
}
_WHO_AND_WHY: dict[str, Any] = {
    "type": "object",
    "required": ["name", "reason"],
    "properties": {"name": _TEXT, "reason": _TEXT},
    "additionalProperties": False,
}
_BODY_PROBLEMS: Final = (
    ("The body is not JSON.", MalformedJson),
    _NO_TOKEN,
    ("The body did not arrive in time.", BodyTooSlow),
    ("The body is too large.", BodyTooLarge),
    ("The body is not declared as JSON.", UnsupportedMediaType),
    ("A field is missing or malformed.", InvalidField, MissingField),
    ("Neither the data folder nor the store keeps what was done.", StoreUnavailable),
)


def _list(name: str, about: str, items: dict[str, Any]) -> dict[str, Any]:
    held = {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": items}}}
    return {"responses": {"200": answer(about, held), **problems(_NO_TOKEN)}}


def _act(about: str) -> dict[str, Any]:
    return {
        "requestBody": body((JSON, {"schema": _WHO_AND_WHY})),
        "responses": {
            "200": answer(about, _ALERT),
            **problems(
                *_BODY_PROBLEMS,
                ("There is no alert with this fingerprint.", NoSuchAlert),
                ("The alert is pending or resolved.", AlertNotOpen),
            ),
        },
    }


ALERTS: Final = _list("alerts", "The alerts, open ones first, and the silences in force.", _ALERT)
ACKNOWLEDGE: Final = _act("It is acknowledged, and nobody further is told.")
ESCALATE: Final = _act("The next one on the ladder is told at once.")
RESOLVE: Final = _act("It is resolved; if its condition still holds, it fires again after five minutes.")
SILENCES: Final = _list("silences", "The silences, and those that ended in the last day.", _SILENCE)
SILENCE: Final[dict[str, Any]] = {
    "requestBody": body(
        (
            JSON,
            {
                "schema": {
                    "type": "object",
                    "required": ["matchers", "lasts", "name", "reason"],
                    "properties": {
                        "matchers": {**_LABELS, "description": "Label, rule or fingerprint -> pattern."},
                        "lasts": {"type": "string", "description": "Duration, as 2h; at most 30d."},
                        "name": _TEXT,
                        "reason": _TEXT,
                    },
                    "additionalProperties": False,
                },
                "examples": {
                    "two hours": {
                        "value": {
                            "matchers": {"rule": "drift"},
                            "lasts": "2h",
                            "name": "Ada",
                            "reason": "the camera is moved",
                        }
                    }
                },
            },
        )
    ),
    "responses": {"200": answer("The silence.", _SILENCE), **problems(*_BODY_PROBLEMS)},
}
END_SILENCE: Final[dict[str, Any]] = {
    "requestBody": body((JSON, {"schema": _WHO_AND_WHY})),
    "responses": {
        "200": answer("The silence has ended; what still fires is told again.", _SILENCE),
        **problems(*_BODY_PROBLEMS, ("There is no silence of this id.", NoSuchSilence)),
    },
}
