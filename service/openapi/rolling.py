"""OpenAPI document of /rolling."""

from __future__ import annotations

from typing import Any, Final

from service.errors import InvalidField, NoSuchBundle, StoreUnavailable
from service.openapi.parts import LABEL_ACCESS, NULLABLE_STRING, NUMBER_OR_NULL, answer, problems

_FIGURE: dict[str, Any] = {
    "type": "object",
    "description": "A figure and its 95 % interval. A zero denominator: null (of `mcc` 0), and the reason.",
    "required": ["value", "low", "high", "reason"],
    "properties": {
        "value": NUMBER_OR_NULL,
        "low": {"type": "number"},
        "high": {"type": "number"},
        "reason": NULLABLE_STRING,
    },
}
_CELLS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["predicted", "label", "count"],
        "properties": {name: {"type": "integer"} for name in ("predicted", "label", "count")},
    },
}
_CLASS_FIGURES: dict[str, Any] = {
    "type": "object",
    "description": "Precision, recall and specificity are of class 1; of more than two classes each is the "
    "mean over the classes that have one.",
    "required": ["n", "accuracy", "mcc", "precision", "recall", "specificity", "cells"],
    "properties": {
        "n": {"type": "integer", "description": "Labelled predictions in the window."},
        **dict.fromkeys(("accuracy", "mcc", "precision", "recall", "specificity"), _FIGURE),
        "cells": _CELLS,
    },
}
_WINDOWS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["size", "all", "answered", "decided"],
        "properties": {
            "size": {"type": "integer"},
            "all": _CLASS_FIGURES,
            "answered": _CLASS_FIGURES,
            "decided": {
                "type": "object",
                "description": "The last predictions, labelled or not.",
                "required": ["n", "coverage", "stage_b"],
                "properties": {"n": {"type": "integer"}, "coverage": _FIGURE, "stage_b": _FIGURE},
            },
        },
    },
}
_REWARD_WINDOW: dict[str, Any] = {
    "type": "object",
    "required": ["size", "n", "accuracy", "accuracy_low", "accuracy_high", "mcc", "mcc_reason", "cells"],
    "properties": {
        "size": {"type": "integer"},
        "n": {"type": "integer"},
        "accuracy": NUMBER_OR_NULL,
        **{
            name: {"type": "number"}
            for name in ("accuracy_low", "accuracy_high", "mcc", "mcc_low", "mcc_high")
        },
        "mcc_reason": NULLABLE_STRING,
        "cells": _CELLS,
    },
}
_SERIES: dict[str, Any] = {
    "type": "object",
    "description": "The two windows of the reward: accuracy over 10, Matthews correlation over 100.",
    "required": ["acc", "mcc"],
    "properties": {
        "acc": _REWARD_WINDOW,
        "mcc": _REWARD_WINDOW,
        "reward": {"type": "number", "description": "For bundles of the roadwork task alone."},
    },
}
_SCOPE: dict[str, Any] = {
    "required": ["bundle", "windows", "all", "answered", "predictions", "labelled", "label_coverage"],
    "properties": {
        "bundle": {"type": "string"},
        "windows": _WINDOWS,
        "all": _SERIES,
        "answered": _SERIES,
        "predictions": {"type": "integer"},
        "labelled": {"type": "integer"},
        "label_coverage": NUMBER_OR_NULL,
        "label_lag_seconds": {"type": "object", "additionalProperties": NUMBER_OR_NULL},
    },
}

ROLLING: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "bundle",
            "in": "query",
            "description": "name:version of a bundle that serves or has served, or `total` for all of them "
            "together; default: the champion.",
            "schema": {"type": "string"},
        },
        {
            "name": "window",
            "in": "query",
            "description": "Size of a window in `windows`, of those that DEMUR_WINDOWS names; several may be "
            "given; default: all of them.",
            "schema": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        },
    ],
    "responses": {
        "200": answer(
            "`all`: every labelled prediction, forced to a label; `answered`: the answered ones alone.",
            {
                "type": "object",
                "required": [*_SCOPE["required"], "total", "bundles", "events_waiting", "labels"],
                "properties": {
                    **_SCOPE["properties"],
                    "total": {
                        "type": "object",
                        "description": "The same over all bundles that have answered for this model.",
                        **_SCOPE,
                    },
                    "bundles": {
                        "type": "array",
                        "description": "Every bundle that has served, the latest at the end.",
                        "items": {"type": "string"},
                    },
                    "events_waiting": {"type": "integer"},
                    "labels": LABEL_ACCESS,
                },
            },
        ),
        **problems(
            ("No bundle of this label has served.", NoSuchBundle),
            ("No window has this size.", InvalidField),
            ("The store of the windows does not answer.", StoreUnavailable),
        ),
    },
}
