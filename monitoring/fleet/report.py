"""Report of a service: which generation of its fleet it serves, and what it has open besides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from monitoring.errors import MonitoringError
from monitoring.formats import known, require_format


class ReportUnreadable(MonitoringError):
    """A document is no report of a service."""


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """What one service says of itself, once a second and after each change."""

    service: str
    """Its name, which no other service of the fleet has"""
    at: float
    """Unix time, seconds, by the service's own clock"""
    generation: int
    """Number of the record that it serves; 0: none yet"""
    champion: str
    """Digest of the bundle that answers"""
    champion_label: str
    """`name:version`"""
    opened: tuple[str, ...] = ()
    """Digests of the bundles that are loaded and warm in every worker, the champion among them"""
    prepared: int | None = None
    """Number of the latest record whose `next` is among them; None: there is none, or it is not open yet"""
    fault: str | None = None
    """Why it cannot serve what the record says, in one sentence"""
    stale: bool = False
    """Whether the registry does not answer, so that it may lag"""
    workers: int = 1
    admin_url: str | None = None
    """Address of its private port, if it has one"""

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Raises ReportUnreadable, and FormatTooNew for the report of a later version."""
        try:
            values = json.loads(document)
            require_format(values, "the report of a service")
            return cls(**_checked(known(cls, values)))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ReportUnreadable(f"it is no report of a service: {error}") from None


_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "service": str,
    "at": (int, float),
    "generation": int,
    "champion": str,
    "champion_label": str,
    "opened": list,
    "prepared": (int, type(None)),
    "fault": (str, type(None)),
    "stale": bool,
    "workers": int,
    "admin_url": (str, type(None)),
}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a document, each of its kind. Raises ValueError."""
    for one in fields(ServiceReport):
        if one.name in values and not isinstance(values[one.name], _KINDS[one.name]):
            raise ValueError(f"{one.name} is {values[one.name]!r}")
    if "opened" in values:
        values["opened"] = tuple(map(str, values["opened"]))
    return values
