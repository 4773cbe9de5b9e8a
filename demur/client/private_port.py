"""Client of the private port: JSON in, JSON out, and the problem of a refusal as an error.

Unlike `demur.client.Client` it never sends a request again by itself: what a request of this port does is not
always the same when it is done twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from demur.client.answer import Answer
from demur.client.results import Unreachable


class PrivatePort:
    """The private port of one service."""

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        """`timeout`: seconds per request. Raises ValueError if `url` is no http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"url is {url!r}; it must be like http://host:8001")
        self.url = url
        self._connection = (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(
            parts.hostname, parts.port, timeout=timeout
        )
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> dict[str, Any]:
        """The answer to GET. Raises ClientError."""
        return self._call("GET", path, None)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request with a body. Raises ClientError."""
        return self._call(method, path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            answer = Answer.of(self._connection.getresponse())
        except (OSError, HTTPException) as error:
            raise Unreachable(
                f"the private port at {self.url} cannot be reached: {str(error) or type(error).__name__}"
            ) from error
        finally:
            self._connection.close()
        if answer.status >= 400:
            raise answer.failure()
        return answer.read(dict)
