"""The address at which a program on this machine reaches what the service listens on."""

from __future__ import annotations

from typing import Final

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced, not listened on


def local_url(host: str, port: str) -> str:
    """URL of a port that listens on `host`; 0.0.0.0 and :: become the address of this machine."""
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
