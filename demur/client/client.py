"""HTTP client of the service; needs no HTTP library beyond the standard one.

    with Client("http://127.0.0.1:8000") as client:
        prediction = client.predict("street.jpg", deadline=2.0)
        client.feedback(prediction.request_id, label=1)

The client retries after a full queue (503), an exhausted quota (429) and a broken connection, with
exponential backoff, never before the service's Retry-After and only within the deadline. A retry keeps the
request id, so that the service counts the request once.
"""

from __future__ import annotations

import json
import math
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from itertools import count
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from demur.client.answer import Answer
from demur.client.results import (
    AuditPage,
    ClassFigures,
    ClientError,
    DeadlinePassed,
    Figure,
    Guarantee,
    Prediction,
    Problem,
    Refused,
    RewardWindow,
    Rolling,
    Series,
    Unreachable,
    WaitingAudit,
    Window,
)

__all__ = [
    "ClassFigures",
    "Client",
    "ClientError",
    "DeadlinePassed",
    "Figure",
    "Guarantee",
    "Prediction",
    "Problem",
    "Refused",
    "RewardWindow",
    "Rolling",
    "Series",
    "Unreachable",
    "WaitingAudit",
    "Window",
]

_RETRIED: Final = (429, 503)
"""HTTP statuses after which a request is sent again"""
_JSON: Final = {"Content-Type": "application/json"}
_LONGEST_PAUSE: Final = 5.0
"""Seconds of backoff, at most"""

_Result = TypeVar("_Result")


class Client:
    """Persistent connection to one service; not safe for several threads at a time."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        deadline: float = 30.0,
        retries: int = 5,
        backoff: float = 0.1,
    ) -> None:
        """`token`: of a sender of labels, if the service asks for one (`DEMUR_FEEDBACK_TOKENS`); `deadline`:
        seconds per call, retries included, if the call names none; `retries`: number of further tries, at
        most; `backoff`: seconds before the first retry, doubled for each further one.

        Raises ValueError if `url` is no http or https URL, or if no header can carry `token`.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"url is {url!r}; it must be like http://host:8000")
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = connection(parts.hostname, parts.port)
        self._prefix = parts.path.rstrip("/")
        self._identity = {} if api_key is None else {"X-Api-Key": api_key}
        if token is not None:
            self._identity["Authorization"] = f"Bearer {_checked(token)}"
        self._deadline = deadline
        self._retries = retries
        self._backoff = backoff

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._connection.close()

    def predict(
        self,
        image: Path | str | bytes,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        unit_id: str | None = None,
    ) -> Prediction:
        """Decision on one image: the path of a file, or its encoded bytes (JPEG, PNG, WEBP).

        `deadline`: seconds, retries included. `unit_id`: the unit of an experiment that the image belongs
        to, for example a camera. Raises ClientError, and OSError for a file that cannot be read.
        """
        # The service detects the format from the bytes; the header only says that the body is one image.
        headers = {"Content-Type": "image/jpeg", **_ids(request_id, unit_id)}
        return self._call("POST", "/predict", _encoded(image), headers, deadline, Prediction.of)

    def predict_batch(
        self,
        images: Sequence[Path | str | bytes],
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        unit_id: str | None = None,
    ) -> tuple[Prediction | Problem, ...]:
        """Decisions on several images: a prediction or a problem for each, in their order.

        Raises as `predict` does if the service refuses the batch as a whole.
        """
        boundary = secrets.token_hex(16)
        parts = [
            f"--{boundary}\r\n".encode()
            + f'Content-Disposition: form-data; name="files"; filename="{index}"\r\n\r\n'.encode()
            + _encoded(image)
            + b"\r\n"
            for index, image in enumerate(images)
        ]
        body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **_ids(request_id, unit_id)}
        return self._call("POST", "/predict/batch", body, headers, deadline, _results)

    def feedback(self, request_id: str, label: int | float | str, *, deadline: float | None = None) -> None:
        """Send the true label of a prediction; a later call corrects it. Raises ClientError.

        `label`: the index of a class, also as a NumPy number or as a whole float, or its name.
        """
        body = json.dumps({"request_id": request_id, "label": _plain(label)}).encode()
        self._call("POST", "/feedback", body, _JSON, deadline, lambda _: None)

    def feedback_batch(
        self, labels: Sequence[tuple[str, int | float | str]], *, deadline: float | None = None
    ) -> tuple[Problem | None, ...]:
        """Send many true labels, as (request id, label), at most 1,000 at a time. Returns the problem with
        each label, None for an accepted one, in their order.

        Labels that differ for one request id are all refused. Raises ClientError if the service refuses the
        batch as a whole.
        """
        entries = [{"request_id": request_id, "label": _plain(label)} for request_id, label in labels]
        body = json.dumps({"labels": entries}).encode()
        return self._call("POST", "/feedback/batch", body, _JSON, deadline, _label_problems)

    def rolling(self, bundle: str | None = None, *, deadline: float | None = None) -> Rolling:
        """Figures of the labelled predictions over windows of several sizes. Raises ClientError.

        `bundle`: `name:version` of one that serves or has served, or `total` for all of them together; None:
        the champion.
        """
        path = "/rolling" if bundle is None else f"/rolling?{urlencode({'bundle': bundle})}"
        return self._call("GET", path, None, {}, deadline, Rolling.of)

    def audits(self, *, bundle: str | None = None, deadline: float | None = None) -> Iterator[WaitingAudit]:
        """Answers that wait for the label of their audit, the oldest first; of all bundles, or of one,
        `name:version`. The client must be that of the private port. Raises ClientError.

        `deadline`: seconds per page of 1,000.
        """
        after: str | None = ""
        while after is not None:
            asked = {"limit": "1000", "bundle": bundle, "after": after}
            query = urlencode({name: value for name, value in asked.items() if value})
            page = self._call("GET", f"/audits?{query}", None, {}, deadline, AuditPage.of)
            yield from page.audits
            after = page.next

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float | None,
        read: Callable[[Mapping[str, Any]], _Result],
    ) -> _Result:
        seconds = self._deadline if deadline is None else deadline
        give_up = time.monotonic() + seconds
        failure: ClientError | None = None
        for attempt in count():
            left = give_up - time.monotonic()
            if left <= 0:
                raise DeadlinePassed(f"no answer from {path} within {seconds:g} s") from failure
            retry_after = 0.0
            try:
                answer = self._send(method, path, body, headers, left)
            except (OSError, HTTPException) as error:
                self.close()
                failure = Unreachable(f"{path} cannot be reached: {error!r}")
            else:
                if answer.status < 400:
                    return answer.read(read)
                failure = answer.failure()
                retry_after = answer.retry_after
                if answer.status not in _RETRIED:
                    raise failure
            pause = max(retry_after, self._pause(attempt))
            if attempt >= self._retries:
                raise failure
            if time.monotonic() + pause >= give_up:
                raise DeadlinePassed(f"no answer from {path} within {seconds:g} s") from failure
            time.sleep(pause)
        raise AssertionError("count() has no end")

    def _pause(self, attempt: int) -> float:
        # Random, so that clients that were refused together do not return together.
        return min(_LONGEST_PAUSE, self._backoff * 2.0**attempt) * random.uniform(0.5, 1.0)

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], left: float
    ) -> Answer:
        connection = self._connection
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)
        milliseconds = str(max(1, int(1000 * min(left, 999_999))))
        try:
            connection.request(
                method,
                self._prefix + path,
                body,
                {**headers, **self._identity, "X-Deadline-Ms": milliseconds},
            )
        except (BrokenPipeError, ConnectionResetError):
            # The service may have refused the request before all of the body was sent.
            if connection.sock is None:
                raise
        response: HTTPResponse = connection.getresponse()
        return Answer.of(response)


def _checked(token: str) -> str:
    # The token of a file often has a line end behind it.
    token = token.strip()
    if not (token and token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("token must have printable ASCII characters, at least one, and no spaces")
    return token


def _plain(label: int | float | str) -> int | float | str | None:
    """A label as JSON has it, also from a NumPy number; None for one that JSON does not have."""
    if isinstance(label, str | bool):
        return label
    label = float(label)
    if not math.isfinite(label):
        return None
    return int(label) if label.is_integer() else label


def _label_problems(body: Mapping[str, Any]) -> tuple[Problem | None, ...]:
    return tuple(Problem.of(result["problem"]) if "problem" in result else None for result in body["results"])


def _encoded(image: Path | str | bytes) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _ids(request_id: str | None, unit_id: str | None) -> dict[str, str]:
    headers = {"X-Request-Id": request_id or secrets.token_hex(16)}
    if unit_id is not None:
        headers["X-Unit-Id"] = unit_id
    return headers


def _results(body: Mapping[str, Any]) -> tuple[Prediction | Problem, ...]:
    return tuple(
        Problem.of(result["problem"]) if "problem" in result else Prediction.of(result)
        for result in body["results"]
    )
