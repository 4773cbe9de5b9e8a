"""What a configuration says of its fields: meaning, range and choices, from the model itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

_BOUNDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


@cache
def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Field -> the docstring below it, or its description; empty for a field without either."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class
    found = {name: field.description or "" for name, field in model.model_fields.items()}
    for field, text in zip(body.body, body.body[1:], strict=False):
        said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and said:
            found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return found


def limits(model: type[BaseModel], field: str) -> str:
    """Bounds, lengths and choices of a field in words: `at least 0, at most 65,535`; empty without any."""
    found: list[str] = []
    own = _properties(model).get(field, {})
    for option in (own, *own.get("anyOf", ())):
        found += [text.format(_number(option[key])) for key, text in _BOUNDS.items() if key in option]
        if "minLength" in option:
            found.append(f"{option['minLength']} characters or more")
        if "enum" in option:
            found.append("one of " + ", ".join(f"`{value}`" for value in option["enum"]))
    return ", ".join(dict.fromkeys(found))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


@cache
def _properties(model: type[BaseModel]) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = model.model_json_schema()["properties"]
    return properties
