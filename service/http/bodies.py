"""Request bodies to encoded images: a raw image, a form, or base64 in JSON.

Every function here takes the whole body, whose size `service.http.body_limits` has bounded. All but the
check of the headers runs on a worker thread.
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

from service.errors import (
    InvalidBase64,
    InvalidField,
    MalformedForm,
    MalformedJson,
    MissingField,
    TooManyImages,
    UnsupportedEncoding,
    UnsupportedMediaType,
)

IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"

ImageReader = Callable[[], bytes]
"""Returns the encoded image, or raises RequestError."""


def image_reader(headers: Mapping[str, str], body: bytes) -> ImageReader:
    """Reader of the one image in a /predict body. Raises UnsupportedMediaType, UnsupportedEncoding."""
    kind, options = _content_type(headers)
    if kind in IMAGE_TYPES:
        return lambda: body
    if kind == _FORM:
        return lambda: _only_file(_parts(body, options))
    if kind == _JSON:
        return lambda: decode_base64(_json_field(body, "image"), "image")
    raise UnsupportedMediaType(kind, (*IMAGE_TYPES, _FORM, _JSON))


def batch_reader(headers: Mapping[str, str], body: bytes, limit: int) -> Callable[[], list[ImageReader]]:
    """Function that splits a /predict/batch body into readers of its images, at most `limit`.

    Raises UnsupportedMediaType and UnsupportedEncoding. The function raises RequestError for a body that
    cannot be split; each reader raises one for what is wrong with its image alone.
    """
    kind, options = _content_type(headers)
    if kind == _FORM:
        return lambda: _within(limit, [partial(_as_is, part) for part in _files(_parts(body, options))])
    if kind == _JSON:
        return lambda: _json_batch(body, limit)
    raise UnsupportedMediaType(kind, (_FORM, _JSON))


def read_json(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises UnsupportedMediaType, UnsupportedEncoding, MalformedJson and
    InvalidField."""
    kind, _ = _content_type(headers)
    if kind != _JSON:
        raise UnsupportedMediaType(kind, (_JSON,))
    return json_object(body)


def refuse_encoded(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedEncoding for a compressed body."""
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise UnsupportedEncoding(encoding)


def _content_type(headers: Mapping[str, str]) -> tuple[str, dict[bytes, bytes]]:
    refuse_encoded(headers)
    kind, options = parse_options_header(headers.get("content-type", ""))
    return kind.decode("latin-1").lower(), options


def _as_is(part: bytes) -> bytes:
    return part


# JSON ---------------------------------------------------------------------------------------------


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises MalformedJson, InvalidField."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"the body is not JSON: {error}", field="body") from None
    if not isinstance(content, dict):
        raise InvalidField("the body must be a JSON object", field="body")
    return content


def _json_field(body: bytes, name: str) -> Any:
    content = json_object(body)
    if name not in content:
        raise MissingField(f"the body has no field {name!r}", field=name)
    return content[name]


def _json_batch(body: bytes, limit: int) -> list[ImageReader]:
    images = _json_field(body, "images")
    if not isinstance(images, list):
        raise InvalidField("images must be a list of base64 strings", field="images")
    readers: list[ImageReader] = [
        partial(decode_base64, image, f"images[{index}]") for index, image in enumerate(images)
    ]
    return _within(limit, readers)


def decode_base64(text: Any, name: str) -> bytes:
    """The bytes of a base64 string; `name`: its field. Raises InvalidField, InvalidBase64."""
    if not isinstance(text, str):
        raise InvalidField(f"{name} must be a base64 string", field=name)
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBase64(f"{name} is not base64: {error}", field=name) from None


# Forms --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def name(self) -> str:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        return options.get(b"name", b"").decode("utf-8", "replace")


_MAX_PARTS: Final = 1024
"""Parts of any form; the number of images has a limit of its own."""


def _parts(body: bytes, options: Mapping[bytes, bytes]) -> list[_Part]:
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedForm("the Content-Type of a form must name its boundary", field="Content-Type")
    parts: list[_Part] = []
    name, value = bytearray(), bytearray()
    complete = False

    def begin() -> None:
        if len(parts) >= _MAX_PARTS:
            raise FormParserError(f"more than {_MAX_PARTS} parts")
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
        raise MalformedForm(f"the form cannot be read: {error}", field="body") from None
    if not complete:
        raise MalformedForm("the form ends before its closing boundary", field="body")
    return parts


def _files(parts: list[_Part]) -> list[bytes]:
    return [bytes(part.content) for part in parts if part.name in ("file", "files")]


def _only_file(parts: list[_Part]) -> bytes:
    files = _files(parts)
    if not files:
        raise MissingField("the form has no field 'file'", field="file")
    if len(files) > 1:
        raise InvalidField(
            f"the form has {len(files)} files; /predict takes one, /predict/batch several",
            field="file",
            value=len(files),
            limit=1,
        )
    return files[0]


def _within(limit: int, readers: list[ImageReader]) -> list[ImageReader]:
    if not readers:
        raise MissingField("the batch has no images", field="images", value=0)
    if len(readers) > limit:
        raise TooManyImages(
            f"the batch has {len(readers)} images; at most {limit} are accepted",
            field="images",
            value=len(readers),
            limit=limit,
        )
    return readers
