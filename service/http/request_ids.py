"""Request ids: from the client if well formed, generated otherwise."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from service.errors import InvalidField

MAX_LENGTH: Final = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_LENGTH - 1}}}")
_INDEX_LENGTH: Final = 8
"""Room for the index of an image: those of a batch are ID.0, ID.1, and so on."""
_MAX_GIVEN: Final = MAX_LENGTH - _INDEX_LENGTH
_INDEX = re.compile(r"\.[0-9]+$")


class _RandomIds:
    """Ids of 128 random bits each, in hexadecimal.

    Many are drawn at a time: the system call releases the interpreter to other threads of the process, and
    getting it back may take longer than everything else that an id costs.
    """

    _DIGITS: Final = 32
    _BATCH: Final = 256

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def take(self) -> str:
        if not self._drawn:
            digits = os.urandom(self._BATCH * self._DIGITS // 2).hex()
            self._drawn = [digits[at : at + self._DIGITS] for at in range(0, len(digits), self._DIGITS)]
        return self._drawn.pop()


_random_ids = _RandomIds()


def well_formed(text: str) -> bool:
    """Whether `text` may be the id of a prediction or of a unit."""
    return _ID.fullmatch(text) is not None


def request_id_of(header: str | None) -> str:
    """The id of a request with this X-Request-Id."""
    if header is not None and len(header) <= _MAX_GIVEN and well_formed(header):
        return header
    return _random_ids.take()


def replaced_id(given: str | None, request_id: str) -> str | None:
    """The id that the client gave, shortened, if `request_id` stands in its place."""
    return None if given is None or given == request_id else given[:MAX_LENGTH]


def image_id(request_id: str, index: int) -> str:
    """The id of one image of a batch, as /feedback takes it."""
    return f"{request_id}.{index}"


def checked_id(value: Any) -> str:
    """`value` if a prediction can have this id. Raises InvalidField.

    A longer or malformed X-Request-Id is replaced, so no prediction has it, and a label for it would be lost.
    """
    if not isinstance(value, str) or not well_formed(value):
        raise InvalidField(
            "request_id must be a string of letters, digits, '.', '_' and '-', not beginning with a sign",
            field="request_id",
            value=value if isinstance(value, str | int | float | bool) else None,
            limit=MAX_LENGTH,
        )
    base = _INDEX.sub("", value) if len(value) > _MAX_GIVEN else value
    if len(base) > _MAX_GIVEN:
        raise InvalidField(
            f"no prediction has an id of {len(value)} characters: an X-Request-Id of more than {_MAX_GIVEN} "
            "is replaced, and the answer carries the id to use here",
            field="request_id",
            value=value,
            limit=_MAX_GIVEN,
        )
    return value
