"""OpenAPI document of the private port's /audits."""

from __future__ import annotations

from typing import Any, Final

from service.errors import InvalidField, StoreUnavailable, Unauthorized
from service.openapi.parts import NULLABLE_STRING, answer, problems

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000

AUDITS: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "bundle",
            "in": "query",
            "description": "name:version of a bundle; default: every bundle.",
            "schema": {"type": "string"},
        },
        {
            "name": "after",
            "in": "query",
            "description": "`next` of the page before; default: from the oldest on.",
            "schema": {"type": "string"},
        },
        {
            "name": "limit",
            "in": "query",
            "description": "Audits of one page.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
        },
    ],
    "responses": {
        "200": answer(
            "The oldest audits without a label, whose labels still count. A token of a sender of labels "
            "opens this route too.",
            {
                "type": "object",
                "required": ["audits", "next"],
                "properties": {
                    "audits": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["request_id", "unit_id", "bundle", "time", "age_seconds"],
                            "properties": {
                                "request_id": {"type": "string", "description": "For /feedback."},
                                "unit_id": NULLABLE_STRING,
                                "bundle": {"type": "string"},
                                "time": {"type": "string", "format": "date-time"},
                                "age_seconds": {"type": "number"},
                            },
                        },
                    },
                    "next": {**NULLABLE_STRING, "description": "For `after`; null: there are no more."},
                },
            },
        ),
        **problems(
            ("The token is missing or wrong.", Unauthorized),
            ("A malformed cursor or limit.", InvalidField),
            ("The store of the audits does not answer, or there is none.", StoreUnavailable),
        ),
    },
}
