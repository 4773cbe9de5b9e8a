"""OpenAPI document of /live."""

from __future__ import annotations

from typing import Any, Final

from service.errors import TooManyListeners
from service.openapi.parts import problems

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["health", "rolling", "problem"]},
        "data": {"type": "string", "description": "A JSON object."},
    },
}
LIVE: Final[dict[str, Any]] = {
    "responses": {
        "200": {
            "description": "Server-sent events, each when it has changed: `health` and `rolling` with the "
            "bodies of /health (without `queue` and `uptime_seconds`) and of /rolling; `problem` if the "
            "store does not answer. The connection ends after 15 minutes, or when the service stops; "
            "browsers come again by themselves.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        **problems(("Too many listeners; GET /health and /rolling say the same.", TooManyListeners)),
    }
}
