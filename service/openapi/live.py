"""OpenAPI document of /live."""

from __future__ import annotations

from typing import Any, Final

from service.errors import TooManyListeners
from service.openapi.parts import problems

LIVE: Final[dict[str, Any]] = {
    "responses": {
        "200": {
            "description": "Server-sent events, each when it has changed: `health` and `rolling` with the "
            "bodies of /health (without `queue` and `uptime_seconds`) and of /rolling; `problem` if the "
            "store does not answer. The connection ends after 15 minutes, or when the service stops; "
            "browsers come again by themselves.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(("Too many listeners; GET /health and /rolling say the same.", TooManyListeners)),
    }
}
