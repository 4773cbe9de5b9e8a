"""Request bodies to encoded images: a raw image, a form, or base64 in JSON.

Every function here takes the whole body, whose size `service.http.body_limits` has bounded. All but the
check of the headers runs on a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
from python_multipart.multipart import parse_options_header

from service.errors import (
    InvalidField,
    MalformedJson,
    MissingField,
    TooManyImages,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from service.http.base64_text import decode_base64
from service.http.compressed import content_encoding
from service.http.forms import Part, form_parts

_ACCEPTED: Final = ("image/*", "application/octet-stream", "multipart/form-data", "application/json")
_RAW: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Types of an image that the client does not name. The bytes decide, as they do under any image type."""
_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

ImageReader = Callable[[], bytes]
"""Returns the encoded image, or raises RequestError."""


def image_reader(headers: Mapping[str, str], body: bytes) -> ImageReader:
    """Reader of the one image in a /predict body. Raises UnsupportedMediaType, UnsupportedEncoding."""
    kind, options = _content_type(headers)
    if kind in _RAW or kind.startswith("image/"):
        return lambda: body
    if kind == _FORM:
        return lambda: _only_file(form_parts(body, options))
    if _is_json(kind):
        return lambda: decode_base64(_json_field(body, "image"), "image")
    raise UnsupportedMediaType(kind, _ACCEPTED)


def batch_reader(headers: Mapping[str, str], body: bytes, limit: int) -> Callable[[], list[ImageReader]]:
    """Function that splits a /predict/batch body into readers of its images, at most `limit`.

    Raises UnsupportedMediaType and UnsupportedEncoding. The function raises RequestError for a body that
    cannot be split; each reader raises one for what is wrong with its image alone.
    """
    kind, options = _content_type(headers)
    if kind == _FORM:
        return lambda: _within(limit, [part.decoded for part in _files(form_parts(body, options))])
    if _is_json(kind):
        return lambda: _json_batch(body, limit)
    raise UnsupportedMediaType(kind, (_FORM, _JSON))


def read_json(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises UnsupportedMediaType, UnsupportedEncoding, MalformedJson and
    InvalidField."""
    kind, _ = _content_type(headers)
    if not _is_json(kind):
        raise UnsupportedMediaType(kind, (_JSON,))
    return json_object(body)


def _content_type(headers: Mapping[str, str]) -> tuple[str, dict[bytes, bytes]]:
    if (encoding := content_encoding(headers)) is not None:
        raise UnsupportedEncoding(encoding)
    kind, options = parse_options_header(headers.get("content-type", ""))
    return kind.decode("latin-1").lower(), options


def _is_json(kind: str) -> bool:
    return kind in (_JSON, "text/json") or kind.endswith("+json")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises MalformedJson, InvalidField."""
    try:
        content = orjson.loads(body.removeprefix(_BYTE_ORDER_MARK))
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


def _files(parts: list[Part]) -> list[Part]:
    return [part for part in parts if part.name in ("file", "files")]


def _only_file(parts: list[Part]) -> bytes:
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
    return files[0].decoded()


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
