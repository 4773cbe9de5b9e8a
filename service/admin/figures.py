"""GET /health and /drift on the private port: what the service says of itself, beside what can be changed."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from bundle.manifest import BundleError
from bundle.verify import read_manifest
from monitoring.drift.conclusion import Conclusion
from monitoring.drift.sample_folder import SampleFolder, drift_folder
from monitoring.drift.watch import latest_conclusion
from monitoring.drift.wording import signal_name
from monitoring.promise.archive import Archive
from monitoring.promise.items import ItemReader
from service.alerting.journal import AlertJournal
from service.errors import NoWorkerAnswers
from service.lineup.fleet import Fleet
from service.openapi import admin as openapi
from service.responses import json_response

_TIMEOUT: Final = 5.0
"""Seconds that a worker may take for its state"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the figures of the private port come from; None for those that there are not."""

    items: ItemReader | None = None
    """The audits; None without a store"""
    promises: Archive | None = None
    """What the promise monitors keep; without it there are no routes for it."""
    public_url: str | None = None
    """Address of the public port, of which each worker says how it is"""
    data_dir: Path | None = None
    """Data folder, with the conclusions of the drift watches"""
    alerts: AlertJournal | None = None
    """The alerts; without it there are no routes for them."""


def add_figure_routes(app: FastAPI, fleet: Fleet, figures: Figures) -> None:
    """Add the routes to the admin application."""

    @app.get("/health", summary="State of the service", openapi_extra=openapi.HEALTH)
    async def health(request: Request) -> Response:
        content = await asyncio.to_thread(_ask_a_worker, figures.public_url)
        return Response(content, media_type="application/json")

    @app.get("/drift", summary="Conclusions about drift", openapi_extra=openapi.DRIFT)
    async def drift(request: Request) -> Response:
        found = await asyncio.to_thread(lambda: list(_conclusions(fleet, figures.data_dir)))
        return json_response({"bundles": found})


def _ask_a_worker(url: str | None) -> bytes:
    """The answer of a worker to GET /health. Raises NoWorkerAnswers.

    The monitors live in the workers, and any of them knows all of it; this process computes nothing.
    """
    if url is None:
        raise NoWorkerAnswers("it has no public port")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoWorkerAnswers(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NoWorkerAnswers(f"it answers {answer.status}")
    return content


def _conclusions(fleet: Fleet, data_dir: Path | None) -> Iterator[dict[str, Any]]:
    """The last conclusion about each bundle that answers some unit."""
    if data_dir is None:
        return
    plan = fleet.plan
    answering = [plan.champion, *(one.folder for one in plan.challengers if one.share is not None)]
    for folder in answering:
        try:
            manifest = read_manifest(folder)
        except BundleError:
            continue  # It serves, and its folder has gone since.
        label = f"{manifest.name}:{manifest.version}"
        conclusion = latest_conclusion(SampleFolder(drift_folder(data_dir, label)))
        yield {
            "bundle": label,
            "conclusion": None if conclusion is None else _values(conclusion),
            "expected": None if conclusion is None else conclusion.performance_sentence(),
        }


def _values(conclusion: Conclusion) -> dict[str, Any]:
    """Plain values of a conclusion, with the name of each signal in words."""
    shifts = [{**asdict(one), "words": signal_name(one)} for one in conclusion.shifts]
    return {**conclusion.to_values(), "shifts": shifts}
