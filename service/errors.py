"""Errors of the service: what each room raises. `service.problems` alone knows their HTTP statuses.

DemurError                              calibration.errors: the root of all errors of demur
└── ServiceError
    ├── SettingsError (ValueError)      a setting is missing or out of range
    ├── PortUnavailable                 an address or port cannot be listened on
    ├── WorkersFailed (RuntimeError)    a worker ended before the service was ready
    ├── ChangeRefused                   the line-up cannot change; the old one goes on serving
    ├── FleetUnavailable                a fleet is to be followed, and there is nothing to serve of it
    ├── RecordUnreachable (OSError)     the registry does not take the record of a change now
    └── RequestError                    a request, or one of its images, is refused
        ├── MalformedRequest            the bytes are not HTTP/1.1
        ├── HeadTooLarge, HeadTooSlow   the request line and the headers
        ├── BodyTooLarge, BodyTooSlow   the body
        ├── UnsupportedEncoding         a compressed body
        ├── UnsupportedMediaType        a Content-Type that the route does not read
        ├── MalformedJson, MalformedForm, InvalidBase64
        ├── MissingField, InvalidField
        ├── TooManyImages, TooManyLabels
        ├── ContradictingLabels         one batch, one request id, different labels
        ├── ImageRefused                the bytes of one image; `cause` is bundle's ImageError
        ├── Unauthorized                a request without the token that its route asks for
        ├── QuotaExceeded, QueueFull, DeadlinePassed, ComputeTimeout
        ├── StoreUnavailable, NoWorkerAnswers, TooManyListeners, Draining
        ├── NoSuchModel, NoSuchBundle, NoSuchChallenger, NoSuchExperiment
        ├── NoSuchAlert, NoSuchSilence, AlertNotOpen
        ├── NothingToRollBack, BundleRefused, BundlesUnreadable, FollowsRegistry,
        │   ExperimentRefused,
        │   NotEnoughEvents
        └── NoRegistryFollowed, RegistryAway, NoPromoter, NoPromotion, PromotionRefused
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bundle.images.errors import ImageError, TooFewPixels, TooManyBytes, TooManyPixels
from calibration.errors import DemurError

MAX_LABELS: Final = 1000
"""Labels of one /feedback/batch"""


class ServiceError(DemurError):
    """Root of the errors of `service`."""


class SettingsError(ServiceError, ValueError):
    """A setting is missing or out of range; the message names it."""


class PortUnavailable(ServiceError):
    """An address or port cannot be listened on; the message says why and what helps."""


class WorkersFailed(ServiceError, RuntimeError):
    """The workers could not be started."""


class ChangeRefused(ServiceError):
    """The line-up cannot be served; the old one goes on. The message says why."""


class FleetUnavailable(ServiceError):
    """A fleet is to be followed, and there is nothing to serve of it; the message says what is missing."""


class RecordUnreachable(ServiceError, OSError):
    """The registry does not answer, so a change was not recorded; a later try may succeed."""


class RequestError(ServiceError):
    """A request, or one image of it, that is refused. The subclass is the kind of the problem."""

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        value: Any = None,
        limit: Any = None,
        retry_after: int | None = None,
    ) -> None:
        """`field`, `value` and `limit`: the part of the request at fault, its value, and the accepted
        range. `retry_after`: seconds after which the same request may succeed."""
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.value = value
        self.limit = limit
        self.retry_after = retry_after


class MalformedRequest(RequestError):
    """The bytes on the connection are not HTTP/1.1."""


class HeadTooLarge(RequestError):
    """The request line and the headers exceed the limit."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the request's head has {size} bytes or more; at most {limit} are accepted",
            field="headers",
            value=size,
            limit=limit,
        )


class HeadTooSlow(RequestError):
    """The request line and the headers did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the request's head was not complete within {seconds:g} s", field="headers", limit=seconds
        )


class BodyTooLarge(RequestError):
    """The body exceeds the limit of its route."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the body has {size} bytes or more; at most {limit} are accepted here",
            field="body",
            value=size,
            limit=limit,
        )


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body was not complete within {seconds:g} s", field="body", limit=seconds)


class UnsupportedEncoding(RequestError):
    """The body is compressed."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"Content-Encoding is {encoding!r}; send the body as it is",
            field="Content-Encoding",
            value=encoding,
        )


class UnsupportedMediaType(RequestError):
    """The Content-Type is none that the route reads."""

    def __init__(self, kind: str, accepted: Sequence[str]) -> None:
        super().__init__(
            f"Content-Type is {kind!r}; it must be one of {', '.join(accepted)}",
            field="Content-Type",
            value=kind,
            limit=list(accepted),
        )


class MalformedJson(RequestError):
    """The body is declared as JSON and is none."""


class MalformedForm(RequestError):
    """The body is declared as a form and is none."""


class InvalidBase64(RequestError):
    """A field that should be base64 is not."""


class MissingField(RequestError):
    """A required field is absent."""


class InvalidField(RequestError):
    """A field has the wrong type or a value out of range."""


class TooManyImages(RequestError):
    """The request has more images than one request may have."""


class TooManyLabels(RequestError):
    """The batch has more than `MAX_LABELS` labels."""

    def __init__(self, labels: int) -> None:
        super().__init__(
            f"the batch has {labels} labels; at most {MAX_LABELS} are accepted",
            field="labels",
            value=labels,
            limit=MAX_LABELS,
        )


class ContradictingLabels(RequestError):
    """A batch has different labels for one prediction, so that none of them can hold."""

    def __init__(self, places: Sequence[int]) -> None:
        """`places`: of the labels in the batch, counted from 0."""
        every = ", ".join(f"labels[{place}]" for place in places)
        super().__init__(
            f"{every} differ for one request_id, and none of them was taken; send the one that holds",
            field=f"labels[{places[0]}].label",
        )


class ImageRefused(RequestError):
    """An image cannot be decoded, or may not be."""

    def __init__(self, cause: ImageError, field: str = "image") -> None:
        """`field`: name of the image in the request."""
        value: Any = None
        limit: Any = None
        if isinstance(cause, TooManyPixels):
            value, limit = cause.width * cause.height, cause.limit
        elif isinstance(cause, TooFewPixels):
            value, limit = min(cause.width, cause.height), cause.limit
        elif isinstance(cause, TooManyBytes):
            value, limit = cause.size, cause.limit
        super().__init__(str(cause), field=field, value=value, limit=limit)
        self.cause = cause


class Unauthorized(RequestError):
    """A request without the token that its route asks for."""


class QuotaExceeded(RequestError):
    """The client has used up its quota for now."""


class QueueFull(RequestError):
    """The queue for the cores, or for a stage, has no place left."""


class DeadlinePassed(RequestError):
    """The result would come after the deadline of the request."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the image was decided", field="X-Deadline-Ms")


class ComputeTimeout(RequestError):
    """The model takes too long on an image, perhaps for ever."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the model had not decided this image after {seconds:.0f} s, and its computation was given up; "
            "do not send it again",
            field="image",
        )


class StoreUnavailable(RequestError):
    """The store of the rolling windows is away, or there is none."""


class NoWorkerAnswers(RequestError):
    """No worker says how the service is."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no worker of the service answers: {why}")


class TooManyListeners(RequestError):
    """As many clients as may listen to the live figures do so already."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} clients listen to this worker, and no more may; GET /health and /rolling say the same",
            limit=most,
        )


class Draining(RequestError):
    """The service is stopping and wants no new requests."""

    def __init__(self) -> None:
        super().__init__("the service is stopping")


class NoSuchModel(RequestError):
    """No model of this name and version serves."""


class NoSuchBundle(RequestError):
    """No bundle of this name exists, or none of this label serves."""


class NoSuchChallenger(RequestError):
    """No challenger of this name serves."""

    def __init__(self, name: str) -> None:
        super().__init__("no challenger has this name", field="name", value=name[:100])


class NoSuchExperiment(RequestError):
    """No experiment of this name was ever started, or it does not run."""

    def __init__(self, name: str, running: str | None) -> None:
        runs = "none runs" if running is None else f"{running} runs"
        super().__init__(f"no such experiment runs here; {runs}", field="name", value=name[:64])


class ExperimentRefused(RequestError):
    """An experiment cannot begin, or change in this way; what serves goes on."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the experiment does not change: {why}", field="name", value=name[:64])


class NotEnoughEvents(RequestError):
    """The event log holds too little to say what was asked."""


class NoSuchAlert(RequestError):
    """No alert has this fingerprint, or several begin so."""


class NoSuchSilence(RequestError):
    """No silence has this id."""


class AlertNotOpen(RequestError):
    """The alert has not fired, or is resolved."""


class NothingToRollBack(RequestError):
    """The champion has no predecessor."""

    def __init__(self, why: str = "no other bundle has answered since the start") -> None:
        super().__init__(why)


class BundleRefused(RequestError):
    """A bundle cannot be verified, loaded or put into the line-up."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the bundle is not served: {why}", field="name", value=name)


class FollowsRegistry(RequestError):
    """One service of a fleet cannot change its champion by itself: the registry says which it is."""

    def __init__(self, fleet: str) -> None:
        super().__init__(
            f"this service follows the fleet {fleet}, so its champion is changed for all of its services: "
            "with `demur promote BUNDLE` or POST /promotions, back with `demur rollback` or POST /rollback"
        )


class BundlesUnreadable(RequestError):
    """The folder of the bundles has gone or cannot be read."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the folder of bundles cannot be read: {cause}")


class NoRegistryFollowed(RequestError):
    """The service follows no registry, so it has no fleet."""

    def __init__(self) -> None:
        super().__init__(
            "this service follows no registry, so it has no fleet and no promotions; set DEMUR_REGISTRY and "
            "DEMUR_FOLLOW, or change this service alone with POST /bundles/NAME/activate and POST /rollback"
        )


class RegistryAway(RequestError):
    """The registry does not answer, or holds what cannot be read."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the fleet stays as it is: {why}")


class NoPromoter(RequestError):
    """This service cannot run promotions."""

    def __init__(self) -> None:
        super().__init__(
            "this service was not started by `demur serve` and runs no promotions; run `demur promote` "
            "beside it, with the same DEMUR_REGISTRY and DEMUR_REDIS_URL"
        )


class NoPromotion(RequestError):
    """No promotion runs that could be approved, aborted or resumed."""


class PromotionRefused(RequestError):
    """A promotion cannot begin, or not change in this way; the fleet stays as it is."""
