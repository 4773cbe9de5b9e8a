"""The application: `create_app(settings)`, or `uvicorn --factory service.app:create_app`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monitoring.experiments.folder import ExperimentFolder
from monitoring.metrics.instruments import Instruments
from monitoring.metrics.request_window import RequestWindow
from monitoring.promise.sampling import AuditSampler
from service.alerting.engine import Alerting, rules_of_settings, service_name
from service.alerting.signals import ServiceSignals, Sources
from service.compute.drift_samples import DriftSamples
from service.compute.overruns import Overruns, Supervision
from service.compute.predictor import Predictor
from service.compute.shadows import Shadows
from service.compute.spare_time import SpareTime
from service.environment import environment_notes
from service.errors import InvalidField, RequestError, SettingsError
from service.following.followed_file import read_followed
from service.following.state import SharedFleetState
from service.http import labels
from service.http.body_limits import BodyLimits
from service.http.broadcast import Broadcast
from service.http.direct_routes import DirectRoutes
from service.http.head_requests import HeadRequests
from service.http.observability import Observability
from service.http.quotas import Quotas
from service.http.token_gate import TokenGate
from service.lineup.deployment import Deployment
from service.lineup.experiment_status import ExperimentStatus
from service.lineup.lineup import Deployments
from service.lineup.promise_watch import answering, audited_risk, promise_watch
from service.logs.setup import configure_logging
from service.problems import Problem, problem_of, problem_of_route
from service.routes import docs, feedback, inference_protocol, live, page, predict, rolling, status
from service.routes.inference_protocol import PROTOCOL_PATH
from service.settings import Settings
from service.state import LifespanState, Phase, Service, request_id, service_of
from service.window_client import window_client

_SMALL_BODY = 64 * 2**10
_FORM_OVERHEAD = 64 * 2**10
_WATCH_INTERVAL = 1.0

logger = structlog.get_logger("demur.service")


def create_app(
    settings: Settings | None = None,
    phase: Phase | None = None,
    deployments: Deployments | None = None,
    quotas: Quotas | None = None,
    supervision: Supervision | None = None,
    fleet: SharedFleetState | None = None,
) -> FastAPI:
    """The service over one bundle; `settings` default to the environment's.

    `phase` is shared with the code that stops the service, `deployments` with the code that changes the
    bundle, `quotas` with the other workers; `supervision` leads to the process that replaces this one,
    `fleet` to what the parent knows of the fleet that it follows.
    Without deployments the application loads the settings' bundle when it starts; a bundle that cannot be
    used ends the start with its BundleError.
    """
    from_environment = settings is None
    settings = settings or Settings.read()
    if settings.registry is not None and deployments is None:
        raise SettingsError("registry is set, and only `demur serve` follows one; start the service with it")
    phase = phase or Phase()
    request_lines = configure_logging(settings.log_options())
    if from_environment:
        for note in environment_notes(os.environ, Settings.model_fields):
            logger.warning("environment", note=note)
    instruments = Instruments()
    app = _Application(
        title="demur",
        summary="An image classifier that knows when not to answer.",
        version="1",
        lifespan=_lifespan(
            settings,
            phase,
            instruments,
            deployments,
            quotas or Quotas.of(settings),
            supervision or Supervision(),
            fleet,
        ),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (predict, feedback, rolling, inference_protocol, status, live, page, docs):
        app.include_router(routes.router)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)

    def guarded(inner: ASGIApp) -> ASGIApp:
        limits = BodyLimits(
            inner,
            by_path={
                # Base64 in JSON takes four bytes for three.
                "/predict": settings.max_image_bytes * 4 // 3 + _FORM_OVERHEAD,
                "/predict/batch": settings.max_batch_bytes,
                "/feedback/batch": labels.MAX_BATCH_BYTES,
            },
            by_prefix={f"{PROTOCOL_PATH}/models/": settings.max_batch_bytes},
            otherwise=_SMALL_BODY,
            timeout=settings.body_timeout,
        )
        return Observability(HeadRequests(limits), instruments=instruments, lines=request_lines)

    app.add_middleware(cast("Any", guarded))
    app.put_in_front(
        lambda inner: DirectRoutes(
            inner,
            routes=predict.router.routes,
            refuse=lambda request, error: _answer(request, problem_of(error)),
            around=guarded,
        )
    )
    return app


class _Application(FastAPI):
    """FastAPI with direct routes in front: its own middleware costs each prediction more than the log and the
    metrics do."""

    _front: ASGIApp | None = None

    def put_in_front(self, front: Callable[[ASGIApp], ASGIApp]) -> None:
        self._front = front(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._front or super().__call__)(scope, receive, send)


def _lifespan(
    settings: Settings,
    phase: Phase,
    instruments: Instruments,
    given: Deployments | None,
    quotas: Quotas | None,
    supervision: Supervision,
    fleet: SharedFleetState | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[LifespanState]:
        if given is None:
            deployments = await asyncio.to_thread(Deployments.open, settings)
            await asyncio.to_thread(_warn_if_not_dealt, settings)
        else:
            deployments = given
        # Before anything is started that would have to be closed: a file with faults ends the start.
        rules = await asyncio.to_thread(rules_of_settings, settings)
        predictor = Predictor(settings.cores_per_worker(), settings.queue_limit, instruments)
        windows = window_client(settings, deployments.champion.name, instruments)
        windows.start()
        spare = SpareTime(
            predictor.admission, max_images=settings.shadow_images, max_bytes=settings.shadow_bytes
        )
        shadows = Shadows(spare, windows, instruments)
        overruns = Overruns(settings.compute_timeout, instruments, supervision)
        promise = promise_watch(settings, deployments, instruments, supervision.report_broken)
        await asyncio.to_thread(promise.start)
        drift = DriftSamples(
            settings,
            spare,
            instruments,
            answering=lambda: answering(deployments),
            audited_risk=lambda deployment: audited_risk(promise.view(deployment.terms)),
        )
        alerting = Alerting(
            settings,
            deployments.champion.name,
            rules,
            ServiceSignals(
                Sources(
                    service_name(settings),
                    deployments,
                    promise,
                    drift,
                    windows,
                    RequestWindow(instruments.collect),
                    ExperimentFolder(settings.data_dir),
                    lambda: None if settings.registry is None else read_followed(settings.data_dir),
                )
            ),
            instruments,
        )
        service = Service(
            settings,
            deployments,
            predictor,
            spare,
            shadows,
            drift,
            overruns,
            windows,
            AuditSampler(settings.audit_share, settings.audit_gap),
            promise,
            ExperimentStatus(ExperimentFolder(settings.data_dir), deployments),
            alerting,
            instruments,
            phase,
            quotas,
            Broadcast(settings.live_listeners, lambda: phase.ending),
            _label_gate(settings, instruments),
            fleet,
        )
        _log_start(service)
        _warn_if_abstaining(deployments.champion)
        watch = asyncio.create_task(_watch(service))
        alerting.start()
        try:
            yield LifespanState(service=service)
        finally:
            phase.draining = phase.ending = True
            await spare.close(settings.stop_timeout)
            await drift.close()
            await asyncio.to_thread(predictor.close, settings.stop_timeout)
            watch.cancel()
            await asyncio.to_thread(alerting.close)
            await asyncio.to_thread(promise.close)
            await asyncio.to_thread(windows.close)
            logger.info("service_stopped")

    return lifespan


async def _watch(service: Service) -> None:
    while True:
        service.overruns.look(service.predictor.admission, service.spare)
        # A scrape may reach another worker, which sees only the values that this one has written.
        service.show_load()
        await asyncio.to_thread(service.experiment.look)
        await asyncio.sleep(_WATCH_INTERVAL)


def _warn_if_not_dealt(settings: Settings) -> None:
    running = ExperimentFolder(settings.data_dir).running()
    if running is not None:
        logger.warning(
            "experiment_not_dealt",
            experiment=running.name,
            note="without a parent process no experiment goes on; start the service with `demur serve`",
        )


def _warn_if_abstaining(deployment: Deployment) -> None:
    if deployment.guarantee_reason is not None:
        logger.warning(
            "bundle_abstains",
            bundle=deployment.label,
            note="this bundle may not answer at all; every image comes back with the reason no-promise",
            why=deployment.guarantee_reason,
        )


def _label_gate(settings: Settings, instruments: Instruments) -> TokenGate | None:
    """The gate of labels; None without tokens in the settings."""
    if not settings.feedback_tokens:
        return None
    tokens = {one.name: one.token for one in settings.feedback_tokens}
    return TokenGate(tokens, lambda why: instruments.feedback_refusals.labels(why).inc())


def _log_start(service: Service) -> None:
    deployments = service.deployments
    deployment = deployments.champion
    logger.info(
        "service_started",
        bundle=deployment.label,
        engine=deployment.engine,
        cores=service.predictor.admission.slots,
        promise=deployment.promise,
        challengers={one.deployment.label: one.share or "shadow" for one in deployments.challengers},
        store="off" if service.windows.state == "off" else "on",
        labels="open" if service.label_gate is None else "with a token",
    )


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class alone
    return _answer(request, problem_of(error))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    return _answer(request, problem_of_route(error, request.method, request.url.path))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return _answer(request, problem_of(InvalidField(f"{name}: {first['msg']}", field=name)))


def _answer(request: Request, problem: Problem) -> Response:
    service_of(request).instruments.refusals.labels(problem.kind).inc()
    if request.url.path.startswith(PROTOCOL_PATH):
        # Clients of the protocol read the reason from this member.
        return problem.to_response(request_id(request), error=problem.detail)
    return problem.to_response(request_id(request))
