"""Everything that can go wrong for a client, as RFC 9457 problem documents. The one place where an
error of any room becomes a status code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from bundle.images.errors import (
    EmptyImage,
    ImageError,
    NotAnImage,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document; `field`, `value` and `limit` say what was wrong with what was sent."""

    kind: str
    """Ends the document's `type`, urn:demur:problem:KIND; also a metric's label."""
    status: int
    detail: str
    field: str | None = None
    value: Any = None
    limit: Any = None
    headers: Mapping[str, str] | None = None

    def to_dict(self, request_id: str | None = None) -> dict[str, Any]:
        document: dict[str, Any] = {
            "type": f"urn:demur:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        for name in ("field", "value", "limit"):
            if getattr(self, name) is not None:
                document[name] = getattr(self, name)
        if request_id is not None:
            document["request_id"] = request_id
        return document

    def to_response(self, request_id: str | None = None, **members: str) -> Response:
        """`members`: further ones of the document."""
        return Response(
            orjson.dumps({**self.to_dict(request_id), **members}),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


class RequestError(Exception):
    """A request that cannot be served, with the problem to answer. The rooms that find something wrong
    with a request raise this; libraries raise their own, which `problem_of_image` translates."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refused(
    kind: str,
    status: int,
    detail: str,
    *,
    field: str | None = None,
    value: Any = None,
    limit: Any = None,
    headers: Mapping[str, str] | None = None,
) -> RequestError:
    """The error to raise for a problem."""
    return RequestError(Problem(kind, status, detail, field, value, limit, headers))


_IMAGE_PROBLEMS: Mapping[type[ImageError], tuple[str, int]] = MappingProxyType(
    {
        EmptyImage: ("empty-image", 400),
        NotAnImage: ("not-an-image", 400),
        TruncatedImage: ("truncated-image", 400),
        TooManyBytes: ("too-many-bytes", 413),
        UnsupportedFormat: ("unsupported-image-format", 415),
        TooManyPixels: ("too-many-pixels", 422),
    }
)


def problem_of_image(error: ImageError, field: str = "image") -> Problem:
    """What was wrong with an image; `field` says which one it was."""
    kind, status = _IMAGE_PROBLEMS.get(type(error), ("image-refused", 422))
    value: Any = None
    limit: Any = None
    if isinstance(error, TooManyPixels):
        value, limit = error.width * error.height, error.limit
    elif isinstance(error, TooManyBytes):
        value, limit = error.size, error.limit
    return Problem(kind, status, str(error), field, value, limit)


def problem_of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem of a bare HTTP status: an unknown path, a wrong method."""
    kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
    return Problem(kind, status, detail, headers=headers)


INTERNAL = Problem("internal-error", 500, "the service failed; its log has the reason under this request_id")
