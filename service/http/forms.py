"""Forms: the parts of a multipart body (RFC 2046, section 5.1.1, and RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from quopri import decodestring
from typing import Final, NamedTuple

from python_multipart.multipart import parse_options_header

from service.errors import MalformedForm
from service.http.base64_text import decode_base64


@dataclass(frozen=True, slots=True)
class Part:
    headers: Mapping[bytes, bytes]
    content: bytes

    @property
    def name(self) -> str:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        return options.get(b"name", b"").decode("utf-8", "replace")

    def decoded(self) -> bytes:
        """The content without its Content-Transfer-Encoding. Raises InvalidBase64, MalformedForm."""
        encoding = self.headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding == b"base64":
            return decode_base64(self.content.decode("latin-1"), self.name)
        if encoding == b"quoted-printable":
            return decodestring(self.content)
        if encoding in (b"binary", b"8bit", b"7bit"):
            return self.content
        raise MalformedForm(
            f"Content-Transfer-Encoding is {encoding.decode('latin-1')[:64]!r}; it must be binary, 8bit, "
            "7bit, base64 or quoted-printable",
            field="body",
        )


_MAX_PARTS: Final = 1024
"""Parts of any form; the number of images has a limit of its own."""
_MAX_PART_HEAD: Final = 4096
_MAX_BOUNDARY: Final = 200
"""RFC 2046 allows 70."""
_LINEAR_SPACE: Final = b" \t"


def form_parts(body: bytes, options: Mapping[bytes, bytes]) -> list[Part]:
    """The parts of a form as RFC 2046, section 5.1.1, allows them: with a preamble and an epilogue, spaces
    behind a boundary, and folded or no headers. Raises MalformedForm."""
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > _MAX_BOUNDARY:
        raise MalformedForm("the Content-Type of a form must name its boundary", field="Content-Type")
    parts: list[Part] = []
    found = _delimiter(body, boundary, 0)
    while found is not None and not found.last:
        if len(parts) >= _MAX_PARTS:
            raise MalformedForm(f"the form cannot be read: more than {_MAX_PARTS} parts", field="body")
        following = _delimiter(body, boundary, found.end)
        if following is not None:
            parts.append(_part(body, found.end, following.start))
        found = following
    if found is None:
        raise MalformedForm("the form ends before its closing boundary", field="body")
    return parts


class _Delimiter(NamedTuple):
    start: int
    """Start of the line end before it, which belongs to the delimiter"""
    end: int
    """Start of the part behind it"""
    last: bool


def _delimiter(body: bytes, boundary: bytes, start: int) -> _Delimiter | None:
    """The next line that is a boundary, at or after `start`; None if there is none."""
    mark = b"--" + boundary
    at = start
    while (at := body.find(mark, at)) >= 0:
        before = body[max(0, at - 2) : at]
        end = at + len(mark)
        if at in (0, start) or before.endswith(b"\n"):
            line_end = 2 if before == b"\r\n" else min(1, len(before))
            last = body[end : end + 2] == b"--"
            stop = end
            while body[stop : stop + 1] and body[stop] in _LINEAR_SPACE:
                stop += 1
            if last or body[stop : stop + 2] == b"\r\n" or body[stop : stop + 1] == b"\n":
                newline = 1 if body[stop : stop + 1] == b"\n" else 2
                return _Delimiter(max(start, at - line_end), stop + newline, last)
        at = end
    return None


def _part(body: bytes, start: int, end: int) -> Part:
    headers: dict[bytes, bytes] = {}
    name = b""
    at, limit = start, min(end, start + _MAX_PART_HEAD)
    while at < limit:
        stop = body.find(b"\n", at, limit)
        line = body[at : limit if stop < 0 else stop].rstrip(b"\r")
        if stop < 0 and line:
            break
        at = limit if stop < 0 else stop + 1
        if not line:
            return Part(headers, body[at:end])
        if line[0] in _LINEAR_SPACE and name:
            headers[name] += b" " + line.strip()
            continue
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if not colon or not name:
            raise MalformedForm("the form cannot be read: a part has a malformed header", field="body")
        headers[name] = value.strip()
    raise MalformedForm(
        f"the form cannot be read: a part has no headers' end within {_MAX_PART_HEAD} bytes", field="body"
    )
