"""Request ids: given by the client where well formed, made up otherwise."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from service.problems import refused

MAX_LENGTH: Final = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_LENGTH - 1}}}")
_ROOM_FOR_INDEX: Final = 8
"""The images of a batch are ID.0, ID.1, and so on."""


def well_formed(text: str) -> bool:
    """Whether `text` may be the id of a prediction or of a unit."""
    return _ID.fullmatch(text) is not None


def request_id_of(header: str | None) -> str:
    """The id of a request with this X-Request-Id."""
    if header is not None and len(header) <= MAX_LENGTH - _ROOM_FOR_INDEX and well_formed(header):
        return header
    return secrets.token_hex(16)


def image_id(request_id: str, index: int) -> str:
    """The id of one image of a batch; feedback names it."""
    return f"{request_id}.{index}"


def checked_id(value: Any) -> str:
    """`value` where it is a well-formed id; raises RequestError (422) otherwise."""
    if not isinstance(value, str) or not well_formed(value):
        raise refused(
            "invalid-field",
            422,
            "request_id must be a string of letters, digits, '.', '_' and '-', not beginning with a sign",
            field="request_id",
            value=value if isinstance(value, str | int | float | bool) else None,
            limit=MAX_LENGTH,
        )
    return value
