"""GET /: a page to try the service; one file without external resources."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.http.pages import page_response
from service.openapi import status as openapi

router = APIRouter(tags=["page"])


@router.get("/", summary="A page to try the service", openapi_extra=openapi.PAGE)
async def page(request: Request) -> Response:
    return page_response("page")
