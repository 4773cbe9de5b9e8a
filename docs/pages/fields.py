"""Fields of a configuration in words: default, meaning and range, from the model that reads them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from demur.commands import settings_text
from demur.commands.settings_text import limits

__all__ = ["default", "limits", "meanings", "row"]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> what it is; empty if the model does not say it."""
    return {name: text.replace("None:", "not set:") for name, text in settings_text.meanings(model).items()}


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "none; required"
    value: Any = field.default
    if value is None:
        return "not set"
    if value in ("", ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    if isinstance(value, int) and value >= 2**12 and value % 2**10 == 0:
        return (
            f"`{value}` ({value // 2**20} MiB)" if value % 2**20 == 0 else f"`{value}` ({value // 2**10} KiB)"
        )
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def row(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
