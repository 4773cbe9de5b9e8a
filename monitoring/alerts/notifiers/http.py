"""HTTP client of the notifiers: one POST, no redirect, one time limit, an answer of a few kilobytes.

The client of Python's library is enough (docs/adr/0024): what larger ones add, redirects, retries, pools,
cookies and logs of URLs, would all have to be switched off.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.notifiers.time_limit import NotReached, TimeLimit, encrypted
from monitoring.errors import MonitoringError

MOST_BYTES: Final = 4096
"""Of an answer; the rest is not read."""
_EXCERPT: Final = 120
"""Characters of an answer that are repeated"""
_LONGEST_WAIT: Final = 3600.0
"""Seconds; a receiver that asks for more is tried again after these."""
_OF_THE_MESSAGE: Final = frozenset({400, 413, 415, 422})
"""Statuses that are about the message, which would be refused again. Others are about the channel."""


class NoAnswer(MonitoringError):
    """The request was sent, or part of it, and the answer did not come, or not whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of what a receiver answered."""

    status: int
    body: bytes
    retry_after: float | None

    @property
    def excerpt(self) -> str:
        """The body in one short line."""
        return " ".join(self.body.decode("utf-8", "replace").split())[:_EXCERPT]

    def json(self) -> Any:
        """The body as JSON; None if it is none, or is cut off."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """The answer to a POST. Raises NotReached or NoAnswer, neither with more of the URL than its host."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with TimeLimit(seconds) as limit:
        connection = HTTPConnection(host, parts.port or (443 if secure else 80), timeout=seconds)
        try:
            connection.sock = limit.connect(connection.host, connection.port)
            if secure:
                connection.sock = encrypted(connection.sock, host, ssl.create_default_context(), limit)
            return _exchange(connection, target, body, headers, limit)
        finally:
            connection.close()


def delivery_of(answer: Answer) -> Delivery:
    """What an answer says by its status, and by an error inside of one that says all is well."""
    status = answer.status
    if 200 <= status < 300:
        error = error_inside(answer.json())
        return (
            Delivery("delivered", f"{status}") if error is None else Delivery("refused", f"{status}, {error}")
        )
    if 300 <= status < 400:
        return Delivery("refused", f"{status}: it redirects, and redirects are not followed")
    shown = f"{status} {_phrase(status)}" + (f": {answer.excerpt}" if answer.body else "")
    return Delivery("refused", shown, answer.retry_after, final=status in _OF_THE_MESSAGE)


def deliver(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
    judge: Callable[[Answer], Delivery] = delivery_of,
) -> Delivery:
    """What became of a POST; `judge` reads its answer."""
    try:
        answer = post(url, body, headers, seconds)
    except NotReached as error:
        return Delivery("refused", str(error))
    except NoAnswer as error:
        return Delivery("unknown", str(error))
    return judge(answer)


def error_inside(document: Any) -> str | None:
    """The error in the body of an answer that counts as good by its status; None if there is none."""
    if not isinstance(document, dict):
        return None
    error = document.get("error") or document.get("errors") or document.get("error_message")
    if document.get("ok") is False or document.get("success") is False or error:
        return f"but the answer says: {str(error or 'not ok')[:_EXCERPT]}"
    return None


def _exchange(
    connection: HTTPConnection, target: str, body: bytes, headers: Mapping[str, str], limit: TimeLimit
) -> Answer:
    try:
        connection.request(
            "POST", target, body, {"User-Agent": "demur", "Accept-Encoding": "identity", **headers}
        )
        response = connection.getresponse()
        with response:
            content = response.read(MOST_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise NoAnswer(_no_answer(error, limit)) from None
    if limit.passed:
        # An answer of no stated length ends like a whole one when it is cut off.
        raise NoAnswer(f"no whole answer within {limit.seconds:g} s")
    return Answer(response.status, content, _retry_after(response))


def _no_answer(error: Exception, limit: TimeLimit) -> str:
    if limit.ended(error):
        return f"no whole answer within {limit.seconds:g} s"
    return f"the connection broke before the answer was whole ({type(error).__name__})"


def _retry_after(response: HTTPResponse) -> float | None:
    try:
        return min(max(float(response.getheader("Retry-After", "")), 0.0), _LONGEST_WAIT)
    except ValueError:
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "is no status of HTTP"
