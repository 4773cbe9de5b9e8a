"""Base64 text in requests, in every spelling of common encoders."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any, Final
from urllib.parse import unquote

from service.errors import InvalidBase64, InvalidField

_DATA_URL: Final = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_URL_SAFE: Final = str.maketrans("-_", "+/", " \t\r\n\f\v")


def decode_base64(text: Any, name: str) -> bytes:
    """The bytes of a base64 string; `name`: its field. Raises InvalidField, InvalidBase64.

    Accepts every spelling of RFC 4648 and of common encoders: the alphabet for URLs, no padding, line breaks
    (RFC 2045), a data URL (RFC 2397), percent-encoded or not.
    """
    if not isinstance(text, str):
        raise InvalidField(f"{name} must be a base64 string", field=name)
    try:
        # The usual spelling; the others cost a copy.
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    plain = unquote(_DATA_URL.sub("", text, count=1)) if _DATA_URL.match(text) else text
    plain = plain.translate(_URL_SAFE)
    unpadded = plain.rstrip("=")
    try:
        if len(plain) - len(unpadded) > 2:
            raise ValueError("too much padding")
        return b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBase64(f"{name} is not base64: {error}", field=name) from None
