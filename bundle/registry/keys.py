"""Keys of a registry, the same in a folder and in an object store; every part is checked before it is one."""

from __future__ import annotations

import re
from typing import Final

from bundle.policy import NAME_PATTERN
from bundle.registry.errors import BundleNotFound, FleetUnknown

MARKER: Final = "demur-registry.json"
"""Says that the place is a registry, and in which format"""
BUNDLES: Final = "bundles"
FLEETS: Final = "fleets"
MAX_GENERATION: Final = 10**12 - 1

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))
_GENERATION: Final = re.compile(r"([0-9]{12})\.json")


def is_digest(text: str) -> bool:
    """Whether `text` is the digest of a bundle: 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` may name a fleet, a challenger or a promotion."""
    return _NAME.fullmatch(text) is not None


def bundle_prefix(digest: str) -> str:
    """Where everything of one bundle lies. Raises BundleNotFound for what is no digest."""
    require_digest(digest)
    return f"{BUNDLES}/{digest}"


def require_digest(digest: str) -> None:
    """Raise BundleNotFound for what is no digest, before it becomes a part of a path."""
    if not is_digest(digest):
        raise BundleNotFound(
            f"{digest[:100]!r} is no digest of a bundle; one has 64 hexadecimal digits in lower case"
        )


def bundle_record(digest: str) -> str:
    """The record without which a bundle is not there."""
    return f"{bundle_prefix(digest)}/record.json"


def bundle_file(digest: str, path: str) -> str:
    """A file of a bundle; `path`: as its manifest spells it, which has checked it."""
    return f"{bundle_prefix(digest)}/files/{path}"


def signatures(digest: str) -> str:
    """Where the signatures of a bundle lie."""
    return f"{bundle_prefix(digest)}/signatures"


def fleet_prefix(fleet: str) -> str:
    """Where everything of one fleet lies. Raises FleetUnknown for what is no name."""
    if not is_name(fleet):
        raise FleetUnknown(
            f"{fleet[:100]!r} is no name of a fleet: 1 to 64 of a-z, 0-9, '.', '_' and '-', of which the "
            "first is a letter or a digit"
        )
    return f"{FLEETS}/{fleet}"


def generations(fleet: str) -> str:
    """Where the records of a fleet lie."""
    return f"{fleet_prefix(fleet)}/generations"


def promotion(fleet: str, identifier: str) -> str:
    """Where the report of a promotion lies; `identifier`: as its record has it, which has checked it."""
    return f"{fleet_prefix(fleet)}/promotions/{identifier}"


def generation(fleet: str, number: int) -> str:
    """The record with this number."""
    return f"{generations(fleet)}/{number:012d}.json"


def generation_number(name: str) -> int | None:
    """The number that the name of a record says; None for any other name."""
    match = _GENERATION.fullmatch(name)
    return int(match[1]) or None if match else None


def promotion_report(fleet: str, identifier: str) -> str:
    """The report of a promotion; its pictures lie beside it."""
    return f"{promotion(fleet, identifier)}/report.md"


def promoter(fleet: str) -> str:
    """The sign of life of whoever promotes; a hint, never truth."""
    return f"{fleet_prefix(fleet)}/promoter.json"


def newest(fleet: str) -> str:
    """The hint where the newest record is; it may lag."""
    return f"{fleet_prefix(fleet)}/newest.json"
