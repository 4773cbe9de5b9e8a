"""Texts of people in the bodies of the private port: who does something, and why."""

from __future__ import annotations

from typing import Any

from service.errors import InvalidField, MissingField
from service.openapi.promise import MAX_TEXT


def read_text(content: dict[str, Any], name: str) -> str:
    """A text in a body that is kept with what is done. Raises MissingField or InvalidField."""
    if name not in content:
        raise MissingField(f"the body has no field {name!r}", field=name)
    value = content[name]
    if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TEXT:
        return value.strip()
    raise InvalidField(
        f"{name} must be a text of 1 to {MAX_TEXT} characters: it is kept with what is done",
        field=name,
        value=value[:MAX_TEXT] if isinstance(value, str) else None,
        limit=MAX_TEXT,
    )
