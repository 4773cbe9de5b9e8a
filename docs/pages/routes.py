"""Routes of the service, from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.app import create_app
from service.settings import Settings

_HEAD = """# Routes and answers

What `GET /openapi.json` of a running service says: each route with its parameters, bodies and answers.
[The HTTP interface](../http.md) explains them in prose.
"""


def page() -> str:
    document = create_app(Settings(bundle=Path("bundle"))).openapi()
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts += ["", f"## {method.upper()} {path}", "", *_route(route)]
    return "\n".join(parts) + "\n"


def _route(route: Mapping[str, Any]) -> Iterator[str]:
    yield route.get("description") or route.get("summary", "")
    if parameters := route.get("parameters"):
        yield from ("", "| parameter | in | meaning |", "|---|---|---|")
        for parameter in parameters:
            meaning = parameter.get("description") or _type(parameter.get("schema", {}))
            yield f"| `{parameter['name']}` | {parameter['in']} | {_cell(meaning)} |"
    if body := route.get("requestBody"):
        yield from _contents("Body", body["content"])
    yield from ("", "| status | meaning |", "|---|---|")
    for status, answer in route["responses"].items():
        yield f"| {status} | {_cell(answer['description'])} |"
    for status, answer in route["responses"].items():
        if status.startswith("2") and "content" in answer:
            yield from _contents(f"Answer {status}", answer["content"])


def _contents(title: str, contents: Mapping[str, Any]) -> Iterator[str]:
    """Media types of a body or an answer: those without fields in one line, then each with its fields."""
    described = {media: lines for media, content in contents.items() if (lines := list(_schema(content)))}
    plain = ", ".join(f"`{media}`" for media in contents if media not in described)
    if plain:
        yield from ("", f"**{title}** {plain}")
    for media, lines in described.items():
        yield from ("", f"**{title}** `{media}`", "", *lines)


def _schema(content: Mapping[str, Any]) -> Iterator[str]:
    """Fields of an object, and the examples."""
    fields = dict(_fields(content.get("schema", {})))
    if fields:
        yield from ("| field | type | meaning |", "|---|---|---|")
        for name, field in fields.items():
            yield f"| `{name}` | {_cell(_type(field))} | {_cell(field.get('description', ''))} |"
    examples = content.get("examples", {})
    values = [content["example"]] if "example" in content else [e.get("value") for e in examples.values()]
    for value in values:
        yield from ("", "```json", json.dumps(value, indent=2, ensure_ascii=False), "```")


def _fields(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield prefix + name, field
        items = field.get("items", {}) if field.get("type") == "array" else field
        yield from _fields(items, f"{prefix}{name}.")


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
