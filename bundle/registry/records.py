"""Records as text: what versions of demur read of each other's records (docs/adr/0030)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from bundle.registry.errors import RecordRefused, RegistryDamaged, RegistryTooNew

FORMAT: Final = 1
"""Format of every record; a later one is refused by name."""
MAX_RECORD_BYTES: Final = 4 * 2**20

Record = TypeVar("Record")


def encoded(adapter: TypeAdapter[Record], record: Record) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {"format": FORMAT, **adapter.dump_python(record, mode="json")}


def decoded(adapter: TypeAdapter[Record], values: Any, what: str) -> Record:
    """Read what `encoded` gives, without the fields of a later version.

    `what`: the record, for messages. Raises RegistryDamaged and RegistryTooNew.
    """
    if not isinstance(values, dict):
        raise RegistryDamaged(f"{what} is no JSON object")
    found = values.get("format", FORMAT)
    if found != FORMAT:
        raise RegistryTooNew(
            f"{what} has format {found!r:.40}, and this demur reads format {FORMAT}: run the later version "
            "that wrote it; nothing was changed"
        )
    try:
        return adapter.validate_python(values, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise RegistryDamaged(f"{what}: {place}: {first['msg']}, and it is {first['input']!r:.100}") from None
    except RecursionError:
        raise RegistryDamaged(f"{what} is nested too deeply") from None


def require_readable(read: Callable[[], object]) -> None:
    """Raise RecordRefused if `read` finds a record damaged that is about to be written."""
    try:
        read()
    except RegistryDamaged as error:
        raise RecordRefused(f"{error}; nothing was written") from None


def to_bytes(values: dict[str, Any]) -> bytes:
    """The text of a record."""
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def from_bytes(data: bytes, what: str) -> Any:
    """The values in a text; `what`: the record, for messages. Raises RegistryDamaged."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RegistryDamaged(
            f"{what} is no JSON ({error}): it was written in part or changed by hand; restore it from a copy "
            "of the registry"
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
