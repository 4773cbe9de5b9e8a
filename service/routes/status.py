"""GET /livez, /readyz, /health and /metrics: what orchestrators, people and Prometheus ask."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.metrics.instruments import CONTENT_TYPE
from service.openapi import status as documentation
from service.problems import refused
from service.responses import json_response
from service.state import service_of

router = APIRouter(tags=["status"])


@router.get("/livez", summary="The process is alive", openapi_extra=documentation.LIVEZ)
async def livez(request: Request) -> Response:
    return json_response({"status": "alive"})


@router.get("/readyz", summary="Requests are welcome", openapi_extra=documentation.READYZ)
async def readyz(request: Request) -> Response:
    """A lost store makes the service degraded, not unready."""
    if service_of(request).phase.draining:
        raise refused("draining", 503, "the service is stopping", headers={"Retry-After": "1"})
    return json_response({"status": "ready"})


@router.get("/health", summary="How the service is", openapi_extra=documentation.HEALTH)
async def health(request: Request) -> Response:
    service = service_of(request)
    deployment = service.deployments.champion
    admission = service.predictor.admission
    store = service.monitor.state
    status = "degraded" if service.monitor.degraded or store == "off" else "ok"
    if service.phase.draining:
        status = "draining"
    return json_response(
        {
            "status": status,
            "store": {"state": store, "events_waiting": service.monitor.waiting},
            "event_log": service.monitor.log_state,
            "bundle": {"name": deployment.name, "version": deployment.version},
            "challengers": [
                {
                    "name": challenger.deployment.name,
                    "version": challenger.deployment.version,
                    "share": challenger.share,
                    "promise": challenger.deployment.promise,
                }
                for challenger in service.deployments.challengers
            ],
            "classes": deployment.classes,
            "engine": deployment.engine,
            "computes": deployment.engine_report(),
            "guarantee": deployment.guarantee,
            "guarantee_reason": deployment.guarantee_reason,
            "promise": deployment.promise,
            "queue": {
                "running": admission.running,
                "slots": admission.slots,
                "waiting": admission.waiting,
                "limit": admission.limit,
            },
            "uptime_seconds": round(time.time() - service.started_at, 1),
        }
    )


@router.get("/metrics", summary="Metrics for Prometheus", openapi_extra=documentation.METRICS)
async def metrics(request: Request) -> Response:
    service = service_of(request)
    service.show_load()
    deployments = service.deployments
    labels = [deployments.champion.label, *(one.deployment.label for one in deployments.challengers)]

    def scrape() -> bytes:
        service.monitor.scrape(labels)
        return service.instruments.render()

    return Response(await asyncio.to_thread(scrape), media_type=CONTENT_TYPE)
