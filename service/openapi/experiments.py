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
    NotEnoughEvents,
    Unauthorized,
    UnsupportedMediaType,
)
from service.openapi.parts import JSON, answer, body, problems

MAX_TEXT: Final = 300
MAX_ARMS: Final = 4
MAX_DEALS: Final = 1000
MAX_LOOKS: Final = 200

_NO_TOKEN = ("The token is missing or wrong.", Unauthorized)
_UNKNOWN = ("No experiment of this name runs, or was ever started.", NoSuchExperiment)
_REFUSED = ("It cannot change in this way; what serves goes on.", ExperimentRefused)
_TOO_LITTLE = ("The service keeps no event log, or there is too little in it.", NotEnoughEvents)
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
        **problems(_NO_TOKEN, _UNKNOWN, _REFUSED, _TOO_LITTLE),
    }
}
_INSIDE = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_QUERY_FAULT = ("Parameters are unknown or out of range; every one is named.", InvalidField)
_NEEDED: dict[str, Any] = {
    "type": "object",
    "required": ["units", "days"],
    "properties": {"units": {"type": "number"}, "days": {"type": ["number", "null"]}},
}
POWER: Final[dict[str, Any]] = {
    "parameters": [
        _query(
            "metric",
            "In which the difference is to be found.",
            {"enum": list(METRICS), "default": "accuracy"},
        ),
        _query(
            "difference",
            "Its size; default: the smallest one that matters.",
            {"type": "number", "exclusiveMinimum": 0},
        ),
        _query("share", "Of the units, of the challenger.", {**_INSIDE, "default": 0.5}),
        _query("power", "Chance that the difference is concluded by then.", {**_INSIDE, "default": 0.9}),
    ],
    "responses": {
        "200": answer(
            "Units and days at the traffic of the event log, for reading once at the end (fixed) and at "
            "every step (anytime); days are null if there are too few new units.",
            {
                "type": "object",
                "required": ["metric", "difference", "source", "units_per_day", "fixed", "anytime"],
                "properties": {
                    "metric": {"type": "string"},
                    "difference": {"type": "number"},
                    "source": {"type": "string"},
                    "units_per_day": {"type": "number"},
                    "fixed": _NEEDED,
                    "anytime": _NEEDED,
                },
            },
        ),
        **problems(_NO_TOKEN, _QUERY_FAULT, _TOO_LITTLE),
    },
}
SELF_TEST: Final[dict[str, Any]] = {
    "parameters": [
        _query("share", "Of the units, of the pretended challenger.", {**_INSIDE, "default": 0.5}),
        _query(
            "deals",
            "Number of deals.",
            {"type": "integer", "minimum": 10, "maximum": MAX_DEALS, "default": 100},
        ),
        _query(
            "looks",
            "Reads of each deal.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LOOKS, "default": 20},
        ),
    ],
    "responses": {
        "200": answer(
            "How often equal arms were told apart, against how often they may be.",
            {
                "type": "object",
                "required": ["passed", "units", "requests", "deals", "together", "metrics", "sample_ratio"],
                "properties": {
                    "passed": {"type": "boolean"},
                    "units": {"type": "integer"},
                    "requests": {"type": "integer"},
                    "deals": {"type": "integer"},
                    "together": {"type": "object"},
                    "metrics": {"type": "object"},
                    "sample_ratio": {"type": "object"},
                },
            },
        ),
        **problems(_NO_TOKEN, _QUERY_FAULT, _TOO_LITTLE),
    },
}
