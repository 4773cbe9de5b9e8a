"""GET /livez, /readyz, /health and /metrics: for orchestrators, people and Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.metrics.instruments import CONTENT_TYPE
from service.errors import Draining
from service.lineup.promise_watch import monitor_bodies
from service.openapi import status as openapi
from service.responses import json_response
from service.state import Service, service_of

router = APIRouter(tags=["status"])


@router.get("/livez", summary="The process is alive", openapi_extra=openapi.LIVEZ)
async def livez(request: Request) -> Response:
    return json_response({"status": "alive"})


@router.get("/readyz", summary="The service is ready for requests", openapi_extra=openapi.READYZ)
async def readyz(request: Request) -> Response:
    """Readiness. A lost store makes the service degraded, not unready."""
    if service_of(request).phase.draining:
        raise Draining
    return json_response({"status": "ready"})


@router.get("/health", summary="State of the service", openapi_extra=openapi.HEALTH)
async def health(request: Request) -> Response:
    return json_response(health_body(service_of(request)))


def health_body(service: Service) -> dict[str, Any]:
    """The state of the service as plain values, without the store being asked."""
    deployment = service.deployments.champion
    admission = service.predictor.admission
    note = service.settings.store_note
    store = {"state": service.windows.state, "events_waiting": service.windows.waiting}
    status = "degraded" if service.degraded else "ok"
    if service.phase.draining:
        status = "draining"
    return {
        "status": status,
        "store": store if note is None else {**store, "note": note},
        "event_log": service.windows.log_state,
        "labels": service.label_access(),
        "overruns": {
            "lost_threads": service.overruns.lost_threads,
            "workers_being_replaced": service.overruns.replacing,
        },
        "bundle": {
            "name": deployment.name,
            "version": deployment.version,
            "signature": deployment.signature_report(),
        },
        "challengers": [
            {
                "name": challenger.deployment.name,
                "version": challenger.deployment.version,
                "share": challenger.share,
                "promise": challenger.deployment.promise,
                "drift": None
                if challenger.share is None  # a shadow answers no image that could be looked at
                else service.drift.status(challenger.deployment).sentence,
                "signature": challenger.deployment.signature_report(),
            }
            for challenger in service.deployments.challengers
        ],
        "classes": deployment.classes,
        "engine": deployment.engine,
        "computes": deployment.engine_report(),
        "guarantee": deployment.guarantee,
        "guarantee_reason": deployment.guarantee_reason,
        "promise": deployment.promise,
        "claim": deployment.claim,
        "evidence": deployment.evidence,
        "drift": service.drift.status(deployment).to_dict(),
        "alerts": service.alerting.body(),
        "monitors": monitor_bodies(service.promise, service.deployments),
        "experiment": service.experiment.body(),
        "fleet": service.fleet_body(),
        "queue": {
            "running": admission.running,
            "slots": admission.slots,
            "waiting": admission.waiting,
            "limit": admission.limit,
        },
        "uptime_seconds": round(time.time() - service.started_at, 1),
    }


@router.get("/metrics", summary="Metrics for Prometheus", openapi_extra=openapi.METRICS)
async def metrics(request: Request) -> Response:
    service = service_of(request)
    service.show_load()
    deployments = service.deployments
    serving = (deployments.champion, *(one.deployment for one in deployments.challengers))
    rewards = {deployment.label: deployment.earns_reward for deployment in serving}

    def scrape() -> bytes:
        service.windows.scrape(rewards, len(deployments.champion.classes))
        return service.instruments.render()

    return Response(await asyncio.to_thread(scrape), media_type=CONTENT_TYPE)
