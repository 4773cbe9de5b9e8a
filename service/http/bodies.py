"""Request bodies to encoded images: a raw image, a form, or base64 in JSON.

Everything here is a plain function over the whole body, whose size `service.http.body_limits` has bounded;
all of it but the check of the headers runs on a worker thread.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.problems import RequestError, refused

IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"

ImageReader = Callable[[], bytes]
"""Yields an encoded image, or raises RequestError."""


def image_reader(headers: Mapping[str, str], body: bytes) -> ImageReader:
    """How to get the one image out of a /predict body. Raises RequestError (415)."""
    kind, options = _content_type(headers)
    if kind in IMAGE_TYPES:
        return lambda: body
    if kind == _FORM:
        return lambda: _only_file(_parts(body, options))
    if kind == _JSON:
        return lambda: decode_base64(_json_field(body, "image"), "image")
    raise _unsupported(kind, (*IMAGE_TYPES, _FORM, _JSON))


def batch_reader(headers: Mapping[str, str], body: bytes, limit: int) -> Callable[[], list[ImageReader]]:
    """How to get the images out of a /predict/batch body; at most `limit` of them.

    Raises RequestError (415); the result raises it for a body that cannot be taken apart, and each
    image for what is wrong with that image alone.
    """
    kind, options = _content_type(headers)
    if kind == _FORM:
        return lambda: _within(limit, [partial(_identity, part) for _, part in _files(_parts(body, options))])
    if kind == _JSON:
        return lambda: _json_batch(body, limit)
    raise _unsupported(kind, (_FORM, _JSON))


def read_json(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises RequestError (400, 415, 422)."""
    kind, _ = _content_type(headers)
    if kind != _JSON:
        raise _unsupported(kind, (_JSON,))
    return json_object(body)


def refuse_encoded(headers: Mapping[str, str]) -> None:
    """Raise RequestError (415) for a body that is compressed."""
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise refused(
            "unsupported-content-encoding",
            415,
            f"Content-Encoding is {encoding!r}; send the body as it is",
            field="Content-Encoding",
            value=encoding,
        )


def _content_type(headers: Mapping[str, str]) -> tuple[str, dict[bytes, bytes]]:
    refuse_encoded(headers)
    kind, options = parse_options_header(headers.get("content-type", ""))
    return kind.decode("latin-1").lower(), options


def _unsupported(kind: str, accepted: tuple[str, ...]) -> RequestError:
    return refused(
        "unsupported-media-type",
        415,
        f"Content-Type is {kind!r}; it must be one of {', '.join(accepted)}",
        field="Content-Type",
        value=kind,
        limit=list(accepted),
    )


def _identity(part: bytes) -> bytes:
    return part


# JSON ---------------------------------------------------------------------------------------------


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body is. Raises RequestError (400, 422)."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise refused("malformed-json", 400, f"the body is not JSON: {error}", field="body") from None
    if not isinstance(content, dict):
        raise refused("invalid-field", 422, "the body must be a JSON object", field="body")
    return content


def _json_field(body: bytes, name: str) -> Any:
    content = json_object(body)
    if name not in content:
        raise refused("missing-field", 422, f"the body has no field {name!r}", field=name)
    return content[name]


def _json_batch(body: bytes, limit: int) -> list[ImageReader]:
    images = _json_field(body, "images")
    if not isinstance(images, list):
        raise refused("invalid-field", 422, "images must be a list of base64 strings", field="images")
    readers: list[ImageReader] = [
        partial(decode_base64, image, f"images[{index}]") for index, image in enumerate(images)
    ]
    return _within(limit, readers)


def decode_base64(text: Any, name: str) -> bytes:
    """The bytes of a base64 string; `name` says which field it was. Raises RequestError (422)."""
    if not isinstance(text, str):
        raise refused("invalid-field", 422, f"{name} must be a base64 string", field=name)
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused("invalid-base64", 422, f"{name} is not base64: {error}", field=name) from None


# Forms --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def name(self) -> str:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        return options.get(b"name", b"").decode("utf-8", "replace")


_MOST_PARTS: Final = 1024
"""Of any form; the number of images has a limit of its own."""


def _parts(body: bytes, options: Mapping[bytes, bytes]) -> list[_Part]:
    boundary = options.get(b"boundary")
    if not boundary:
        raise refused(
            "malformed-form", 400, "the Content-Type of a form must name its boundary", field="Content-Type"
        )
    parts: list[_Part] = []
    name, value = bytearray(), bytearray()
    complete = False

    def begin() -> None:
        if len(parts) >= _MOST_PARTS:
            raise FormParserError(f"more than {_MOST_PARTS} parts")
        parts.append(_Part())

    def header_end() -> None:
        parts[-1].headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def end() -> None:
        nonlocal complete
        complete = True

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_part_data": lambda data, start, stop: parts[-1].content.extend(data[start:stop]),
                "on_header_field": lambda data, start, stop: name.extend(data[start:stop]),
                "on_header_value": lambda data, start, stop: value.extend(data[start:stop]),
                "on_header_end": header_end,
                "on_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise refused("malformed-form", 400, f"the form cannot be read: {error}", field="body") from None
    if not complete:
        raise refused("malformed-form", 400, "the form ends before its closing boundary", field="body")
    return parts


def _files(parts: list[_Part]) -> list[tuple[str, bytes]]:
    return [(part.name, bytes(part.content)) for part in parts if part.name in ("file", "files")]


def _only_file(parts: list[_Part]) -> bytes:
    files = _files(parts)
    if not files:
        raise refused("missing-field", 422, "the form has no field 'file'", field="file")
    if len(files) > 1:
        raise refused(
            "invalid-field",
            422,
            f"the form has {len(files)} files; /predict takes one, /predict/batch several",
            field="file",
            value=len(files),
            limit=1,
        )
    return files[0][1]


def _within(limit: int, readers: list[ImageReader]) -> list[ImageReader]:
    if not readers:
        raise refused("missing-field", 422, "the batch has no images", field="images", value=0)
    if len(readers) > limit:
        raise refused(
            "too-many-images",
            413,
            f"the batch has {len(readers)} images; at most {limit} are accepted",
            field="images",
            value=len(readers),
            limit=limit,
        )
    return readers
