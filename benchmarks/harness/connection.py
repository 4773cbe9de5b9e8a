"""Keep-alive connection for one request after another, and the head of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Self

from demur.profile.load import Response, read_response


class KeepAlive:
    """An open connection; for one task at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        """Raises OSError."""
        return cls(*await asyncio.open_connection(*address))

    async def ask(self, *parts: bytes) -> Response:
        """Send a request, given in parts, and wait for the response. Raises OSError."""
        self._writer.writelines(parts)
        return await read_response(self._reader)

    def close(self) -> None:
        self._writer.close()


def post_head(path: str, kind: str, length: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Head of a POST request with a body of `length` bytes of the media type `kind`."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
