"""Fields of a configuration in words: default, meaning and range, from the model that reads them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_BOUNDS = {
    "minimum": "at least {:,}",
    "exclusiveMinimum": "above {:,}",
    "maximum": "at most {:,}",
    "exclusiveMaximum": "below {:,}",
}


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> its description, or the docstring below it; empty if it has neither."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    found = {name: field.description or "" for name, field in model.model_fields.items()}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if said and not found[field.target.id]:
                found[field.target.id] = " ".join(str(text.value.value).split())
    return {name: meaning.replace("None:", "not set:") for name, meaning in found.items()}


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
    if isinstance(value, int) and value >= 2**12 and value % 2**10 == 0:
        return (
            f"`{value}` ({value // 2**20} MiB)" if value % 2**20 == 0 else f"`{value}` ({value // 2**10} KiB)"
        )
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def limits(model: type[BaseModel], name: str) -> str:
    """Bounds, lengths and choices of a field, in words."""
    own: Mapping[str, Any] = model.model_json_schema()["properties"][name]
    found = []
    for option in (own, *own.get("anyOf", ())):
        found += [text.format(option[key]) for key, text in _BOUNDS.items() if key in option]
        if "minLength" in option:
            found.append(f"{option['minLength']} characters or more")
        if "enum" in option:
            found.append("one of " + ", ".join(f"`{value}`" for value in option["enum"]))
    return ", ".join(dict.fromkeys(found))


def row(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
