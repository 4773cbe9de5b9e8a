"""Admin routes: list, verify, activate and roll back bundles; set and withdraw challengers; promote a bundle
in a followed fleet; list audits; end the alarms of a promise; see to alerts; and a page for all of it.

Every route but the page, which holds no data, needs the token, compared in constant time before anything else
is read. A bundle is given by its plain name, never by a path or an address, and comes from one folder. Every
request is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bundle.manifest import BundleError
from bundle.signing.policy import SignaturePolicy
from bundle.verify import OpenedManifest, verify_signed
from monitoring.metrics.instruments import AdminInstruments
from service.admin.access import TokenRequired
from service.admin.alerts import add_alert_routes
from service.admin.audits import add_audit_routes
from service.admin.bundle_folder import folder_of, labels_of, names_of
from service.admin.changes import while_connected
from service.admin.experiment_log import ExperimentLog
from service.admin.experiment_reading import add_reading_routes
from service.admin.experiments import add_experiment_routes
from service.admin.figures import Figures, add_figure_routes
from service.admin.fleet import add_fleet_routes, roll_back_fleet
from service.admin.followed import FollowedFleet
from service.admin.named_bundles import named_folder
from service.admin.promise import add_promise_routes
from service.admin.promoter import Promoter
from service.admin.promotions import add_promotion_routes
from service.errors import (
    BundleRefused,
    BundlesUnreadable,
    ChangeRefused,
    FollowsRegistry,
    InvalidField,
    NoSuchChallenger,
    NothingToRollBack,
    RequestError,
)
from service.http.bodies import read_json
from service.http.body_limits import BodyLimits
from service.http.head_requests import HeadRequests
from service.http.pages import page_response
from service.lineup.experiments import Experiments
from service.lineup.fleet import Cancelled, Fleet
from service.openapi import admin as openapi
from service.problems import problem_of, problem_of_status
from service.responses import json_response
from service.settings import ChallengerSettings
from service.tokens import FeedbackToken

_MAX_BODY_BYTES: Final = 4096
_BODY_TIMEOUT: Final = 10.0

logger = structlog.get_logger("demur.admin")


def create_admin_app(
    fleet: Fleet,
    bundles: Path,
    token: str,
    *,
    feedback_tokens: Sequence[FeedbackToken] = (),
    figures: Figures | None = None,
    experiments: Experiments | None = None,
    experiment_log: ExperimentLog | None = None,
    trust: SignaturePolicy | None = None,
    followed: FollowedFleet | None = None,
    promoter: Promoter | None = None,
) -> FastAPI:
    """The admin application over `fleet`; its bundles are the folders in `bundles`.

    `feedback_tokens`: of the senders of labels, who may list the audits. `experiments`: over the same fleet;
    `experiment_log`: from which they are analysed; None: nothing can be. `trust`: the policy of signatures.
    `followed`: what this service and others follow in a registry; `promoter`: starts promotions of it.
    """
    figures, experiments = figures or Figures(), experiments or Experiments(fleet)
    app = FastAPI(
        title="demur admin",
        summary="Bundles and challengers that change while the service runs.",
        version="1",
        # No page describes the routes: a browser sends no bearer token with an address, and a token that it
        # kept by itself would be sent by every other page as well.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # For the OpenAPI document alone; TokenRequired asks for the token.
        dependencies=[Depends(HTTPBearer(auto_error=False))],
    )
    _add_bundle_routes(app, fleet, bundles, trust, followed)
    _add_way_back(app, fleet, followed)
    _add_challenger_routes(app, fleet, experiments, bundles)
    _add_page(app)
    add_figure_routes(app, fleet, figures)
    add_audit_routes(app, figures.items)
    add_experiment_routes(app, experiments, bundles)
    add_reading_routes(app, experiments, experiment_log)
    add_fleet_routes(app, followed)
    add_promotion_routes(app, followed, promoter)
    if figures.promises is not None:
        add_promise_routes(app, figures.promises, partial(labels_of, bundles))
    if figures.alerts is not None:
        add_alert_routes(app, figures.alerts)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(OSError, _system_error)
    app.add_middleware(BodyLimits, by_path={}, otherwise=_MAX_BODY_BYTES, timeout=_BODY_TIMEOUT)
    app.add_middleware(HeadRequests)
    # Outermost: without the token not even an unknown path can be told from a known one.
    app.add_middleware(
        TokenRequired, token=token, feedback_tokens=feedback_tokens, instruments=AdminInstruments()
    )
    return app


def _add_page(app: FastAPI) -> None:
    # Not in the document, which is for tools.
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return page_response("admin")


def _add_bundle_routes(
    app: FastAPI,
    fleet: Fleet,
    bundles: Path,
    trust: SignaturePolicy | None,
    followed: FollowedFleet | None,
) -> None:
    @app.get("/bundles", summary="The bundles and the line-up", openapi_extra=openapi.BUNDLES)
    async def list_bundles(request: Request) -> Response:
        names = await asyncio.to_thread(names_of, bundles)
        return json_response({"bundles": names, **_lineup(fleet)})

    @app.post(
        "/bundles/{name}/verify", summary="Check a bundle, change nothing", openapi_extra=openapi.VERIFY
    )
    async def verify(request: Request, name: str) -> Response:
        folder = await asyncio.to_thread(folder_of, bundles, name)
        try:
            verified = await asyncio.to_thread(verify_signed, folder, trust=trust)
        except BundleError as error:
            raise BundleRefused(name, str(error)) from error
        return json_response(_summary(verified))

    @app.post("/bundles/{name}/activate", summary="Make it the champion", openapi_extra=openapi.ACTIVATE)
    async def activate(request: Request, name: str) -> Response:
        if followed is not None:
            raise FollowsRegistry(followed.name)
        folder = await asyncio.to_thread(folder_of, bundles, name)
        change = partial(fleet.activate, folder, allow_abstaining=_allows_abstaining(request))
        return await _changed(request, fleet, folder.name, change)


def _add_way_back(app: FastAPI, fleet: Fleet, followed: FollowedFleet | None) -> None:
    @app.post("/rollback", summary="Return to the earlier champion", openapi_extra=openapi.ROLLBACK)
    async def rollback(request: Request) -> Response:
        if followed is not None:
            return await roll_back_fleet(request, followed)
        champion, previous = fleet.plan.champion, fleet.previous
        if previous is None:
            raise NothingToRollBack
        return await _changed(request, fleet, previous.name, partial(fleet.roll_back, champion, previous))


def _add_challenger_routes(app: FastAPI, fleet: Fleet, experiments: Experiments, bundles: Path) -> None:
    @app.get("/challengers", summary="The line-up", openapi_extra=openapi.CHALLENGERS)
    async def list_challengers(request: Request) -> Response:
        return json_response(_lineup(fleet))

    @app.put("/challengers/{name}", summary="Set a challenger", openapi_extra=openapi.CHALLENGE)
    async def challenge(request: Request, name: str) -> Response:
        share = _share(read_json(request.headers, await request.body()))
        folder = await asyncio.to_thread(named_folder, experiments.record, bundles, name)
        challenger = ChallengerSettings(folder=folder, share=share)
        with _refusals(folder.name):
            await while_connected(request, partial(experiments.challenge, challenger))
        logger.info("challenger_set", name=name, share=share, shadow=share is None)
        return json_response(_lineup(fleet))

    @app.delete("/challengers/{name}", summary="Remove a challenger", openapi_extra=openapi.WITHDRAW)
    async def withdraw(request: Request, name: str) -> Response:
        # By its name alone: a challenger whose folder has gone must still be removable.
        folder = next((one.folder for one in fleet.plan.challengers if one.folder.name == name), None)
        if folder is None and experiments.record is not None:
            folder = await asyncio.to_thread(named_folder, experiments.record, bundles, name)
        if folder is None:
            raise NoSuchChallenger(name)
        try:
            with _refusals(name):
                await while_connected(request, partial(experiments.withdraw, folder))
        except KeyError:
            raise NoSuchChallenger(name) from None
        logger.info("challenger_removed", name=name)
        return json_response(_lineup(fleet))


def _allows_abstaining(request: Request) -> bool:
    allow = request.query_params.get("allow")
    if allow not in (None, "abstaining"):
        raise InvalidField("allow must be 'abstaining'", field="allow", value=allow[:64])
    return allow is not None


def _share(content: dict[str, Any]) -> float | None:
    """The share in a body, or None for a shadow. Raises InvalidField."""
    if content == {"shadow": True}:
        return None
    share: Any = content.get("share")
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if set(content) == {"share"} and number and 0 < share <= 1:
        return float(share)
    raise InvalidField(
        'the body must be {"share": S} with 0 < S <= 1, or {"shadow": true}',
        field="share",
        value=share if isinstance(share, int | float | str) else None,
        limit=[0, 1],
    )


async def _changed(request: Request, fleet: Fleet, name: str, change: Callable[[Cancelled], str]) -> Response:
    """The answer to a change of the champion to the bundle `name`."""
    before = fleet.plan.champion.name
    with _refusals(name):
        label = await while_connected(request, change)
    logger.info("activated", name=name, bundle=label, before=before)
    return json_response({"bundle": label, **_lineup(fleet)})


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Log a refused change and raise it as BundleRefused."""
    try:
        yield
    except ChangeRefused as error:
        logger.warning("change_refused", name=name, why=str(error))
        raise BundleRefused(name, str(error)) from error


def _lineup(fleet: Fleet) -> dict[str, Any]:
    plan = fleet.plan
    return {
        "active": plan.champion.name,
        "previous": None if fleet.previous is None else fleet.previous.name,
        "challengers": [
            {"name": one.folder.name, "share": one.share, "shadow": one.share is None}
            for one in plan.challengers
        ],
    }


def _summary(verified: OpenedManifest) -> dict[str, Any]:
    manifest, signature = verified.manifest, verified.signature
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created_at": manifest.created_at.isoformat(),
        "certificates": {entry.key: entry.certificate.sentence() for entry in manifest.certificates},
        "signature": None if signature is None else signature.to_dict(),
    }


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class alone
    return problem_of(error).to_response()


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    return problem_of_status(error).to_response()


async def _system_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)  # noqa: S101 - registered for this class alone
    logger.error("bundles_unreadable", error=str(error))
    return problem_of(BundlesUnreadable(error)).to_response()
