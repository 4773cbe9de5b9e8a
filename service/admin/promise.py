"""GET /promise and POST /promise/{bundle}/reset: the alarms of the promise monitors, which a person ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from monitoring.promise.archive import Archive
from monitoring.promise.latch import BundleLatch, Reset
from service.admin.texts import read_text
from service.errors import InvalidField, NoSuchBundle, StoreUnavailable
from service.http.bodies import read_json
from service.openapi import promise as openapi
from service.responses import json_response

_MAX_LABEL: Final = 300

logger = structlog.get_logger("demur.promise")


def add_promise_routes(app: FastAPI, archive: Archive, labels: Callable[[], set[str]]) -> None:
    """Add the routes to the admin application. `labels`: reads which bundles there are, `name:version`."""

    @app.get("/promise", summary="Alarms of the promise monitors", openapi_extra=openapi.PROMISE)
    async def promise(request: Request) -> Response:
        latch = await asyncio.to_thread(archive.latch)
        return json_response({"bundles": [_body(bundle, one) for bundle, one in latch.bundles.items()]})

    @app.post("/promise/{bundle}/reset", summary="End the alarms of a bundle", openapi_extra=openapi.RESET)
    async def reset(request: Request, bundle: str) -> Response:
        content = read_json(request.headers, await request.body())
        done = Reset(time.time(), read_text(content, "name"), read_text(content, "reason"))
        if set(content) != {"name", "reason"}:
            raise InvalidField("the body must have the fields name and reason, and no others", field="body")
        before = await asyncio.to_thread(archive.latch)
        known = before.bundles.keys() | await asyncio.to_thread(labels)
        if bundle not in known:
            raise NoSuchBundle(
                "there is no bundle of this name and version",
                field="bundle",
                value=bundle[:_MAX_LABEL],
                limit=sorted(known),
            )
        try:
            latch = await asyncio.to_thread(archive.change_latch, lambda latch: latch.reset(bundle, done))
        except OSError as error:
            raise StoreUnavailable(f"the data folder does not keep the reset: {error.strerror}") from error
        ended = sorted(before.of(bundle).alarms)
        logger.warning("promise_reset", bundle=bundle, name=done.name, reason=done.reason, ended=ended)
        return json_response(_body(bundle, latch.of(bundle)))


def _body(bundle: str, latch: BundleLatch) -> dict[str, Any]:
    return {
        "bundle": bundle,
        "begin": latch.begin or None,
        "alarms": [asdict(alarm) for alarm in latch.alarms.values()],
        "resets": [asdict(reset) for reset in latch.resets],
    }
