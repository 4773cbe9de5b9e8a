"""Formats: what this version reads of a document that another version has stored.

A field that is not known is left out, and one that is missing has its default, so that versions which differ
in fields alone read each other. What an older version must not read in this way has a later format, which the
document states as `format`. That is refused by name, and never overwritten (docs/adr/0030).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from monitoring.errors import MonitoringError

FORMAT: Final = 1
"""Format of every document that is stored here; one of the first format does not state it."""


class FormatTooNew(MonitoringError):
    """A later version of demur has stored a document in a form that this one does not read."""


def require_format(values: Mapping[str, Any], what: str) -> None:
    """Raise FormatTooNew for a document of a later format; `what`: the document, for the message."""
    found = values.get("format", FORMAT)
    if found != FORMAT:
        raise FormatTooNew(
            f"{what} has format {found!r}, and this demur reads format {FORMAT}: run the later version that "
            "wrote it; nothing was changed"
        )


def known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass that `values` has, without those of a later version."""
    return {one.name: values[one.name] for one in fields(kind) if one.name in values}
