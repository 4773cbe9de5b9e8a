"""OpenAPI documents of the private port's routes of experiments."""

from __future__ import annotations

from typing import Any, Final, get_args

from monitoring.choices import OnMismatch
from monitoring.experiments.definition import METRICS, NAME
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    BundlesUnreadable,
    ExperimentRefused,
    InvalidField,
    MalformedJson,
    MissingField,
    NoSuchBundle,
    NoSuchChallenger,
    NoSuchExperiment,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi.parts import JSON, answer, body, problems

MAX_TEXT: Final = 300
MAX_ARMS: Final = 4

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_UNKNOWN = ("No experiment of this name runs, or was ever started.", NoSuchExperiment)
_REFUSED = ("It cannot change in this way; what serves goes on.", ExperimentRefused)
_BODY = (
    ("The body is not JSON.", MalformedJson),
    ("The body did not arrive in time.", BodyTooSlow),
    ("The body is too large.", BodyTooLarge),
    ("The body is not declared as JSON.", UnsupportedMediaType),
    ("Fields are missing, unknown or out of range; every one is named.", InvalidField, MissingField),
)
_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_TOLD: dict[str, Any] = {"by": _TEXT, "reason": _TEXT}
_SHARE: dict[str, Any] = {
    "oneOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"const": "shadow"}]
}
_LIMIT: dict[str, Any] = {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1}
_EXPERIMENT: dict[str, Any] = {
    "type": "object",
    "required": ["name", "running", "control", "arms", "strata", "names", "started", "ended", "view"],
    "properties": {
        "name": {"type": "string"},
        "running": {"type": "boolean"},
        "control": {"type": "object", "description": "Label and folder of the champion."},
        "arms": {"type": "array", "items": {"type": "object"}, "description": "Every challenger so far."},
        "strata": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Shares and dealing since each change, with its time, name and reason.",
        },
        "names": {"type": "array", "items": {"type": "string"}, "description": "Arms as in the events."},
        "started": {"type": "object"},
        "ended": {"type": ["object", "null"]},
        "withdrawals": {"type": "array", "items": {"type": "object"}},
        "view": {"type": ["object", "null"], "description": "What the watch has seen last."},
    },
}


def _told(required: tuple[str, ...], properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": [*required, *_TOLD],
        "properties": {**properties, **_TOLD},
        "additionalProperties": False,
    }
    given = {**example, "by": "Ada", "reason": "two is smaller"}
    return body((JSON, {"schema": schema, "examples": {"one": {"value": given}}}))


EXPERIMENTS: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "Every experiment, the latest start first.",
            {
                "type": "object",
                "required": ["experiments"],
                "properties": {"experiments": {"type": "array", "items": _EXPERIMENT}},
            },
        ),
        **problems(_NO_TOKEN),
    }
}
START: Final[dict[str, Any]] = {
    "requestBody": _told(
        ("name",),
        {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
            "arms": {
                "type": "object",
                "maxProperties": MAX_ARMS,
                "additionalProperties": _SHARE,
                "description": "Name of a bundle -> its share, or shadow; challengers that serve take "
                "part with the share that they have.",
            },
            "salt": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Random if left out."},
            "metrics": {"type": "array", "minItems": 1, "items": {"enum": list(METRICS)}},
            "guardrails": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(("coverage", "risk", "errors", "latency"), _LIMIT),
                    "slow": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
                },
                "additionalProperties": False,
                "description": "Largest differences from the control; null switches a guardrail off.",
            },
            "on_mismatch": {"enum": list(get_args(OnMismatch))},
        },
        {"name": "ramp-7", "arms": {"two": 0.1}},
    ),
    "responses": {
        "200": answer("The units are dealt, on every worker.", _EXPERIMENT),
        **problems(_NO_TOKEN, *_BODY, _REFUSED, ("The folder of bundles cannot be read.", BundlesUnreadable)),
    },
}
SHARE: Final[dict[str, Any]] = {
    "requestBody": _told(("arm", "share"), {"arm": _TEXT, "share": _SHARE}, {"arm": "two", "share": 0.5}),
    "responses": {
        "200": answer("The share is changed on every worker, and a stratum begins.", _EXPERIMENT),
        **problems(
            _NO_TOKEN,
            *_BODY,
            _UNKNOWN,
            ("There is no bundle of this name.", NoSuchBundle),
            _REFUSED,
            ("The folder of bundles cannot be read.", BundlesUnreadable),
        ),
    },
}
WITHDRAW: Final[dict[str, Any]] = {
    "requestBody": _told(("arm",), {"arm": _TEXT}, {"arm": "two"}),
    "responses": {
        "200": answer("The control answers its units, on every worker.", _EXPERIMENT),
        **problems(_NO_TOKEN, *_BODY, _UNKNOWN, ("It has no such arm.", NoSuchChallenger), _REFUSED),
    },
}
STOP: Final[dict[str, Any]] = {
    "requestBody": _told((), {}, {}),
    "responses": {
        "200": answer("It has ended; its challengers keep their shares.", _EXPERIMENT),
        **problems(_NO_TOKEN, *_BODY, _UNKNOWN, _REFUSED),
    },
}
REPORT: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "The experiment with its analysis by stratum.",
            {
                **_EXPERIMENT,
                "required": [*_EXPERIMENT["required"], "analysis"],
                "properties": {**_EXPERIMENT["properties"], "analysis": {"type": "object"}},
            },
        ),
        **problems(_NO_TOKEN, _UNKNOWN, _REFUSED),
    }
}
