"""Keep-alive connection for one request after another."""

from __future__ import annotations

import asyncio
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
