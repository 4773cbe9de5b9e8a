"""Request ids: given by the client where well formed, made up otherwise."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from service.problems import refused

MAX_LENGTH: Final = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_LENGTH - 1}}}")
_ROOM_FOR_INDEX: Final = 8
"""The images of a batch are ID.0, ID.1, and so on."""


class _NewIds:
    """128 random bits each, in hexadecimal.

    Drawn many at a time: asking the system lets other threads of the process have the interpreter, and
    getting it back may take longer than all else that an id needs.
    """

    _DIGITS: Final = 32
    _AT_A_TIME: Final = 256

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def take(self) -> str:
        if not self._drawn:
            digits = os.urandom(self._AT_A_TIME * self._DIGITS // 2).hex()
            self._drawn = [digits[at : at + self._DIGITS] for at in range(0, len(digits), self._DIGITS)]
        return self._drawn.pop()


_new_ids = _NewIds()


def well_formed(text: str) -> bool:
    """Whether `text` may be the id of a prediction or of a unit."""
    return _ID.fullmatch(text) is not None


def request_id_of(header: str | None) -> str:
    """The id of a request with this X-Request-Id."""
    if header is not None and len(header) <= MAX_LENGTH - _ROOM_FOR_INDEX and well_formed(header):
        return header
    return _new_ids.take()


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
