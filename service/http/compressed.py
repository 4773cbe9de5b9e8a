"""Compressed bodies, which clients of the Open Inference Protocol may send (Content-Encoding, RFC 9110)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from service.errors import BodyTooLarge, InvalidField, UnsupportedEncoding

_WINDOWS: Final[Mapping[str, int]] = MappingProxyType({"gzip": 31, "x-gzip": 31, "deflate": 15})
"""Encoding -> zlib's `wbits`, which also says which header is expected."""
_AS_IT_IS: Final = "identity"


def content_encoding(headers: Mapping[str, str]) -> str | None:
    """The compression of a body; None if it has none. Raises UnsupportedEncoding."""
    encoding = headers.get("content-encoding", _AS_IT_IS).strip().lower()
    if encoding in ("", _AS_IT_IS):
        return None
    if encoding not in _WINDOWS:
        raise UnsupportedEncoding(encoding)
    return encoding


def decompressed(body: bytes, encoding: str | None, limit: int) -> bytes:
    """The body without its compression. Raises InvalidField, and BodyTooLarge if it unfolds to more than
    `limit` bytes; no more than these are unfolded."""
    if encoding is None:
        return body
    stream = zlib.decompressobj(_WINDOWS[encoding])
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidField(f"the body is not {encoding}: {error}", field="body") from None
    if len(content) > limit:
        raise BodyTooLarge(len(content), limit)
    if not stream.eof:
        raise InvalidField(f"the {encoding} body ends early", field="body")
    return content
