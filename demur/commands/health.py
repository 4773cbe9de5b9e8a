"""`demur health`: one question to /readyz, for health checks.

It runs every few seconds beside a service, so it imports little more than the standard library.
"""

from __future__ import annotations

import json
import os
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final
from urllib.parse import SplitResult, urlsplit

from demur.commands.local_address import local_url
from demur.errors import InterfaceError
from service.environment import values_of

_PATH: Final = "/readyz"
_MOST: Final = 4096
"""Bytes of an answer that are read"""


class NoAddress(InterfaceError, ValueError):
    """The address of the service is no URL of HTTP."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a service said, in one line."""

    ready: bool
    sentence: str


def look(url: str | None, timeout: float) -> Readiness:
    """The readiness of the service at `url`, by default of the one that the environment describes, within
    `timeout` seconds. Raises NoAddress."""
    address = _own_address() if url is None else _address(url, "URL")
    answers: SimpleQueue[Readiness] = SimpleQueue()
    # The limit of a socket is per read, and a server may send byte by byte.
    Thread(target=lambda: answers.put(_asked(address, timeout)), daemon=True).start()
    with suppress(Empty):
        return answers.get(timeout=timeout)
    return Readiness(False, f"not ready: {address.geturl()} has not answered within {timeout:g} s")


def _own_address() -> SplitResult:
    found = values_of(os.environ, ("host", "port"))
    url = local_url(found.get("host", "127.0.0.1"), found.get("port", "8000"))
    return _address(url, "the address of DEMUR_HOST and DEMUR_PORT")


def _address(url: str, what: str) -> SplitResult:
    fault = NoAddress(f"{what} is {url!r}; it must be like http://127.0.0.1:8000, with a port of 1 to 65535")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise fault from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not url.isprintable():
        raise fault
    return parts


def _asked(address: SplitResult, timeout: float) -> Readiness:
    url = address.geturl()
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    try:
        with closing(kind(address.hostname or "", address.port, timeout=timeout)) as connection:
            connection.request("GET", address.path.rstrip("/") + _PATH)
            answer = connection.getresponse()
            status, body = answer.status, answer.read(_MOST)
    except (OSError, HTTPException, ValueError) as error:
        return Readiness(False, f"not ready: {url} cannot be reached: {str(error) or type(error).__name__}")
    if status == 200:
        return Readiness(True, f"ready: {url}")
    return Readiness(False, f"not ready: {url} answers {status}{_reason(body)}")


def _reason(body: bytes) -> str:
    """What a problem document says, on one line."""
    with suppress(ValueError, KeyError, TypeError):
        detail = str(json.loads(body)["detail"])
        return ": " + "".join(one if one.isprintable() else " " for one in detail)
    return ""
