"""Answer of the service to one request: what it holds, or the error that it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Self, TypeVar

from demur.client.results import ClientError, DeadlinePassed, Problem, Refused, Unreachable

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer."""

    status: int
    retry_after: float
    """Seconds"""
    content: bytes

    @classmethod
    def of(cls, response: HTTPResponse) -> Self:
        """Read a response to its end. Raises OSError and HTTPException."""
        return cls(response.status, _seconds(response.headers.get("Retry-After")), response.read())

    def read(self, read: Callable[[Mapping[str, Any]], _Result]) -> _Result:
        """What `read` makes of the body. Raises Unreachable for a body that no demur service sends."""
        try:
            return read(json.loads(self.content))
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"this is no answer of a demur service: {error!r}") from error

    def failure(self) -> ClientError:
        """The error that the problem document in the body stands for."""
        try:
            problem = Problem.of(json.loads(self.content))
        except (ValueError, KeyError, TypeError):
            # The answer of a proxy, for example.
            problem = Problem("http-status", self.status, self.content[:200].decode("utf-8", "replace"))
        if problem.kind == "deadline-passed":
            return DeadlinePassed(problem.detail)
        return Refused(problem)


def _seconds(header: str | None) -> float:
    """Seconds of a Retry-After header; 0 for none and for a date."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0
