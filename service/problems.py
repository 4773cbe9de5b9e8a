"""Problem documents (RFC 9457) and HTTP statuses: the only place of the service that knows them.

One table leads from an error of `service.errors` to the kind, the status and the headers of the answer.
The OpenAPI documents and the label `problem` of demur_refusals_total come from the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bundle.images.errors import (
    EmptyImage,
    NotAnImage,
    TooFewPixels,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)
from service import errors

MEDIA_TYPE: Final = "application/problem+json"
CLIENT_GONE: Final = 499
"""Status in the log and the metrics of a request whose client closed the connection before the answer;
never sent."""
CONTINUE: Final = b"100"
"""Status of the interim answer to `Expect: 100-continue`, as it is on the wire."""


class ProblemKind(NamedTuple):
    """How one kind of error is answered."""

    kind: str
    """Ends the document's `type`, urn:demur:problem:KIND; also the label of a metric."""
    status: int
    headers: Mapping[str, str] | None = None


_CLOSE: Final = MappingProxyType({"Connection": "close"})
"""The rest of the body is still on its way."""

KINDS: Final[Mapping[type[Exception], ProblemKind]] = MappingProxyType(
    {
        errors.MalformedRequest: ProblemKind("malformed-http", 400),
        errors.HeadTooSlow: ProblemKind("head-too-slow", 408),
        errors.HeadTooLarge: ProblemKind("head-too-large", 431),
        errors.BodyTooSlow: ProblemKind("body-too-slow", 408, _CLOSE),
        errors.BodyTooLarge: ProblemKind("body-too-large", 413, _CLOSE),
        errors.UnsupportedEncoding: ProblemKind("unsupported-content-encoding", 415),
        errors.UnsupportedMediaType: ProblemKind("unsupported-media-type", 415),
        errors.MalformedJson: ProblemKind("malformed-json", 400),
        errors.MalformedForm: ProblemKind("malformed-form", 400),
        errors.InvalidBase64: ProblemKind("invalid-base64", 422),
        errors.MissingField: ProblemKind("missing-field", 422),
        errors.InvalidField: ProblemKind("invalid-field", 422),
        errors.TooManyImages: ProblemKind("too-many-images", 413),
        errors.TooManyLabels: ProblemKind("too-many-labels", 413),
        errors.ContradictingLabels: ProblemKind("contradicting-labels", 422),
        EmptyImage: ProblemKind("empty-image", 400),
        NotAnImage: ProblemKind("not-an-image", 400),
        TruncatedImage: ProblemKind("truncated-image", 400),
        TooManyBytes: ProblemKind("too-many-bytes", 413),
        UnsupportedFormat: ProblemKind("unsupported-image-format", 415),
        TooManyPixels: ProblemKind("too-many-pixels", 422),
        TooFewPixels: ProblemKind("too-few-pixels", 422),
        errors.ImageRefused: ProblemKind("image-refused", 422),
        errors.Unauthorized: ProblemKind(
            "unauthorized", 401, MappingProxyType({"WWW-Authenticate": "Bearer", "Connection": "close"})
        ),
        errors.QuotaExceeded: ProblemKind("quota-exceeded", 429),
        errors.QueueFull: ProblemKind("queue-full", 503),
        errors.DeadlinePassed: ProblemKind("deadline-passed", 504),
        errors.ComputeTimeout: ProblemKind("compute-timeout", 504),
        errors.StoreUnavailable: ProblemKind(
            "store-unavailable", 503, MappingProxyType({"Retry-After": "5"})
        ),
        errors.NoWorkerAnswers: ProblemKind("no-worker-answers", 503, MappingProxyType({"Retry-After": "5"})),
        errors.TooManyListeners: ProblemKind(
            "too-many-listeners", 503, MappingProxyType({"Retry-After": "30"})
        ),
        errors.Draining: ProblemKind("draining", 503, MappingProxyType({"Retry-After": "1"})),
        errors.NoSuchModel: ProblemKind("no-such-model", 404),
        errors.NoSuchBundle: ProblemKind("no-such-bundle", 404),
        errors.NoSuchChallenger: ProblemKind("no-such-challenger", 404),
        errors.NoSuchExperiment: ProblemKind("no-such-experiment", 404),
        errors.ExperimentRefused: ProblemKind("experiment-refused", 409),
        errors.NotEnoughEvents: ProblemKind("not-enough-events", 409),
        errors.NoSuchAlert: ProblemKind("no-such-alert", 404),
        errors.NoSuchSilence: ProblemKind("no-such-silence", 404),
        errors.AlertNotOpen: ProblemKind("alert-not-open", 409),
        errors.NothingToRollBack: ProblemKind("nothing-to-roll-back", 409),
        errors.BundleRefused: ProblemKind("bundle-refused", 409),
        errors.FollowsRegistry: ProblemKind("follows-registry", 409),
        errors.BundlesUnreadable: ProblemKind("bundles-unreadable", 503),
        errors.NoRegistryFollowed: ProblemKind("no-registry-followed", 409),
        errors.RegistryAway: ProblemKind("registry-away", 503, MappingProxyType({"Retry-After": "5"})),
        errors.NoPromoter: ProblemKind("no-promoter", 409),
        errors.NoPromotion: ProblemKind("no-promotion", 409),
        errors.PromotionRefused: ProblemKind("promotion-refused", 409),
    }
)
"""Every error of a request. An ImageRefused is found by its cause first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document; `field`, `value` and `limit` say what was wrong with what was sent."""

    kind: str
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


INTERNAL: Final = Problem(
    "internal-error", 500, "the service failed; its log has the reason under this request_id"
)


def problem_of(error: errors.RequestError) -> Problem:
    """The problem document of a refused request or image."""
    kind, status, headers = _kind_of(error)
    if error.retry_after is not None:
        headers = {**(headers or {}), "Retry-After": str(error.retry_after)}
    return Problem(kind, status, error.detail, error.field, error.value, error.limit, headers)


def problem_of_status(error: HTTPException) -> Problem:
    """The problem document of a bare HTTP status, which Starlette raises; its kind is the status' phrase."""
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return Problem(kind, error.status_code, error.detail, headers=error.headers)


def problem_of_route(error: HTTPException, method: str, path: str) -> Problem:
    """The same where the reason is mostly an unknown path or a method that the path does not take."""
    detail = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} does not take {method}",
    }.get(HTTPStatus(error.status_code), error.detail)
    return problem_of_status(HTTPException(error.status_code, detail, error.headers))


def status_of(error: type[Exception]) -> int:
    """The HTTP status of a class of errors, for the OpenAPI documents."""
    return KINDS[error].status


def is_error(status: int) -> bool:
    """Whether an HTTP status reports a fault, of the client or of the service."""
    return status >= 400


def _kind_of(error: errors.RequestError) -> ProblemKind:
    if isinstance(error, errors.ImageRefused):
        for cause in type(error.cause).__mro__:
            if cause in KINDS:
                return KINDS[cause]
    return KINDS[type(error)]
