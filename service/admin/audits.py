"""GET /audits: the answers that wait for the label of their audit; a labelling tool fetches its work here."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from monitoring.promise.items import AuditPage, ItemReader, WaitingAudit
from monitoring.store import contract
from service.errors import InvalidField, StoreUnavailable
from service.openapi import audits as openapi
from service.openapi.audits import DEFAULT_PAGE, MAX_PAGE
from service.responses import json_response

_MAX_TEXT: Final = 300
"""Characters of a bundle's label or of a cursor; a longer one is none."""


def add_audit_routes(app: FastAPI, items: ItemReader | None) -> None:
    """Add the route to the admin application. `items`: None without a store."""
    one_at_a_time = asyncio.Lock()

    @app.get("/audits", summary="Audits that wait for their label", openapi_extra=openapi.AUDITS)
    async def audits(request: Request) -> Response:
        bundle, after, limit = _text(request, "bundle"), _text(request, "after"), _limit(request)
        if items is None:
            raise StoreUnavailable("this service runs without a store, so no audits are known")
        async with one_at_a_time:
            page = await asyncio.to_thread(_page, items, bundle, after, limit)
        now = time.time()
        return json_response({"audits": [_audit(one, now) for one in page.audits], "next": page.next})


def _page(items: ItemReader, bundle: str | None, after: str | None, limit: int) -> AuditPage:
    """Raises InvalidField for a cursor that no page gave, and StoreUnavailable."""
    try:
        return items.waiting(bundle, after, limit)
    except ValueError as error:
        raise InvalidField(str(error), field="after", value=after) from None
    except contract.StoreUnavailable as error:
        raise StoreUnavailable(f"the store of the audits does not answer: {error}") from error


def _text(request: Request, name: str) -> str | None:
    text = request.query_params.get(name)
    if text is not None and not 0 < len(text) <= _MAX_TEXT:
        raise InvalidField(
            f"{name} has {len(text)} characters; it must have 1 to {_MAX_TEXT}, or be left out",
            field=name,
            value=text[:_MAX_TEXT],
            limit=_MAX_TEXT,
        )
    return text


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_PAGE))
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) and 1 <= int(text) <= MAX_PAGE:
        return int(text)
    raise InvalidField(
        f"limit must be a whole number from 1 to {MAX_PAGE}",
        field="limit",
        value=text[:_MAX_TEXT],
        limit=[1, MAX_PAGE],
    )


def _audit(one: WaitingAudit, now: float) -> dict[str, Any]:
    return {
        "request_id": one.request_id,
        "unit_id": one.unit_id,
        "bundle": one.bundle,
        "time": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="milliseconds"),
        "age_seconds": round(max(0.0, now - one.at), 1),
    }
