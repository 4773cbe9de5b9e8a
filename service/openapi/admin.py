"""OpenAPI documents of the private port's routes."""

from __future__ import annotations

from typing import Any, Final

from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    BundleRefused,
    BundlesUnreadable,
    InvalidField,
    MalformedJson,
    NoSuchBundle,
    NoSuchChallenger,
    NothingToRollBack,
    NoWorkerAnswers,
    RegistryAway,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi import fleet, status
from service.openapi.parts import JSON, NULLABLE_STRING, NUMBER_OR_NULL, SIGNATURE, answer, body, problems

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_UNREADABLE = ("The folder of the bundles cannot be read.", BundlesUnreadable)
_NO_BUNDLE = ("There is no bundle of this name.", NoSuchBundle)
_REFUSED = ("The bundle cannot be used, or the line-up cannot change; the old one goes on.", BundleRefused)

_LINEUP: dict[str, Any] = {
    "active": {"type": "string", "description": "The champion."},
    "previous": {**NULLABLE_STRING, "description": "The champion after a roll-back."},
    "challengers": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "share", "shadow"],
            "properties": {
                "name": {"type": "string"},
                "share": NUMBER_OR_NULL,
                "shadow": {"type": "boolean"},
            },
        },
    },
}


def _lineup_schema(**further: Any) -> dict[str, Any]:
    properties = {**further, **_LINEUP}
    return {"type": "object", "required": list(properties), "properties": properties}


def _lineup(description: str, **further: Any) -> dict[str, Any]:
    return {"200": answer(description, _lineup_schema(**further))}


BUNDLES: Final[dict[str, Any]] = {
    "responses": {
        **_lineup(
            "The bundles by name, and the line-up.", bundles={"type": "array", "items": {"type": "string"}}
        ),
        **problems(_NO_TOKEN, _UNREADABLE),
    }
}
VERIFY: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "The bundle is unchanged since it was written; its certificates by engine and precision.",
            {
                "type": "object",
                "required": ["name", "version", "created_at", "certificates", "signature"],
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "string"},
                    "created_at": {"type": "string", "format": "date-time"},
                    "certificates": {"type": "object", "additionalProperties": {"type": "string"}},
                    "signature": SIGNATURE,
                },
            },
        ),
        **problems(_NO_TOKEN, _NO_BUNDLE, _REFUSED, ("A malformed name.", InvalidField), _UNREADABLE),
    }
}
ACTIVATE: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "allow",
            "in": "query",
            "description": "`abstaining`: also a bundle that would answer nothing on this machine.",
            "schema": {"enum": ["abstaining"]},
        }
    ],
    "responses": {
        **_lineup("It is the champion, on every worker.", bundle={"type": "string"}),
        **problems(
            _NO_TOKEN, _NO_BUNDLE, _REFUSED, ("A malformed name or option.", InvalidField), _UNREADABLE
        ),
    },
}
ROLLBACK: Final[dict[str, Any]] = {
    "requestBody": {**fleet.ENDED_BY, "required": False, "description": "Only while a registry is followed."},
    "responses": {
        "200": answer(
            "The earlier champion answers again: on every worker, with the line-up, or, while a registry is "
            "followed, on every service, with the fleet.",
            {
                "oneOf": [
                    _lineup_schema(bundle={"type": "string"}),
                    fleet.FLEET_SCHEMA,
                ]
            },
        ),
        **problems(
            _NO_TOKEN,
            *fleet.BODY,
            ("There is no earlier champion, or it cannot be used.", NothingToRollBack, BundleRefused),
            ("The folder of bundles cannot be read, or the registry.", BundlesUnreadable, RegistryAway),
        ),
    },
}
CHALLENGERS: Final[dict[str, Any]] = {
    "responses": {**_lineup("The line-up."), **problems(_NO_TOKEN)},
}
CHALLENGE: Final[dict[str, Any]] = {
    "requestBody": body(
        (
            JSON,
            {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["share"],
                            "properties": {"share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}},
                            "additionalProperties": False,
                        },
                        {
                            "type": "object",
                            "required": ["shadow"],
                            "properties": {"shadow": {"const": True}},
                            "additionalProperties": False,
                        },
                    ]
                },
                "examples": {"share": {"value": {"share": 0.1}}, "shadow": {"value": {"shadow": True}}},
            },
        )
    ),
    "responses": {
        **_lineup("The bundle is a challenger, on every worker."),
        **problems(
            ("The body is not JSON.", MalformedJson),
            _NO_TOKEN,
            _NO_BUNDLE,
            ("The body did not arrive in time.", BodyTooSlow),
            _REFUSED,
            ("The body is too large.", BodyTooLarge),
            ("The body is not declared as JSON.", UnsupportedMediaType),
            ("A malformed name or share.", InvalidField),
            _UNREADABLE,
        ),
    },
}
WITHDRAW: Final[dict[str, Any]] = {
    "responses": {
        **_lineup("The bundle is no challenger any more."),
        **problems(_NO_TOKEN, ("There is no challenger of this name.", NoSuchChallenger), _REFUSED),
    }
}
HEALTH: Final[dict[str, Any]] = {
    "responses": {
        **status.HEALTH["responses"],
        **problems(_NO_TOKEN, ("No worker answers.", NoWorkerAnswers)),
    }
}
DRIFT: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "The last comparison of each bundle that answers some unit.",
            {
                "type": "object",
                "required": ["bundles"],
                "properties": {
                    "bundles": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["bundle", "conclusion", "expected"],
                            "properties": {
                                "bundle": {"type": "string", "description": "name:version"},
                                "conclusion": {
                                    "type": ["object", "null"],
                                    "description": "In a sentence, with each signal: its median or share "
                                    "in the reference and now, its index (PSI), its adjusted p value and "
                                    "whether it moved. Null before the first comparison.",
                                },
                                "expected": {
                                    **NULLABLE_STRING,
                                    "description": "What the probabilities say of accuracy and risk.",
                                },
                            },
                        },
                    }
                },
            },
        ),
        **problems(_NO_TOKEN),
    }
}
