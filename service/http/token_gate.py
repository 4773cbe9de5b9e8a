"""Access by bearer token (RFC 6750): tokens compared in constant time, refusals counted and slowed down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from time import monotonic
from typing import Final, Literal

from service.errors import Unauthorized

_DELAY: Final = 0.02
_MAX_DELAY: Final = 2.0
_MEMORY: Final = 60.0
"""Each recent request without a right token delays the refusal of the next one by `_DELAY` seconds, up to
`_MAX_DELAY`; half of them are forgotten after `_MEMORY` seconds."""

Headers = Iterable[tuple[bytes, bytes]]
"""Raw headers of an ASGI scope, names in lower case"""
Refusal = Literal["missing", "wrong"]


class TokenGate:
    """Tokens by owner. A request with a right token is never delayed."""

    def __init__(self, tokens: Mapping[str, str], count: Callable[[Refusal], None]) -> None:
        """`tokens`: owner -> token; `count` is called with each refusal."""
        # Digests have one length, so a comparison does not tell that of the token.
        self._digests = {owner: sha256(token.encode()).digest() for owner, token in tokens.items()}
        self._count = count
        self._recent = 0.0
        self._last = monotonic()

    def owner(self, headers: Headers) -> str | None:
        """Whose token the one Authorization header carries; None without a right one."""
        given = _authorizations(headers)
        if len(given) != 1:
            return None
        digest = sha256(_bearer(given[0])).digest()
        # All of them are compared, so the time does not tell which ones are alike.
        owners = [owner for owner, expected in self._digests.items() if compare_digest(digest, expected)]
        return owners[0] if owners else None

    async def refusal(self, headers: Headers, detail: str) -> Unauthorized:
        """The error of a request without a right token, after the delay."""
        self._count("wrong" if _authorizations(headers) else "missing")
        await asyncio.sleep(self._next_delay())
        return Unauthorized(detail, field="Authorization")

    def _next_delay(self) -> float:
        now = monotonic()
        self._recent = self._recent * 0.5 ** ((now - self._last) / _MEMORY) + 1
        self._last = now
        return min(_MAX_DELAY, _DELAY * self._recent)


def _authorizations(headers: Headers) -> list[bytes]:
    return [value for name, value in headers if name == b"authorization"]


def _bearer(header: bytes) -> bytes:
    """The token in an Authorization header; the scheme is in any case (RFC 9110, section 11.1)."""
    scheme, _, token = header.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
