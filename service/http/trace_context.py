"""W3C Trace Context: the trace id of a `traceparent` header, by which logs of several services are joined.

Source: https://www.w3.org/TR/trace-context/, section 3.2: `VERSION-TRACE_ID-PARENT_ID-FLAGS`, in lower-case
hexadecimal digits. An id of zeros alone is invalid, and so is version ff. A later version than 00 may have
further fields.
"""

from __future__ import annotations

import re
from typing import Final

_IDS: Final = rb"((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT: Final = re.compile(rb"(?:00-%b|(?!00|ff)[0-9a-f]{2}-%b(?:-.*)?)" % (_IDS, _IDS))


def trace_id_of(header: bytes) -> str | None:
    """The trace id, 32 hexadecimal digits; None for a malformed header, which is to be ignored."""
    found = _TRACEPARENT.fullmatch(header.strip())
    return None if found is None else (found[1] or found[2]).decode()
