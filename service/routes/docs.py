"""GET /docs: the OpenAPI document in Swagger UI, which can send requests; all its files come from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.http.pages import HEADERS
from service.openapi import status as openapi

router = APIRouter(tags=["page"])

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MAX_AGE: Final = 3600
"""Seconds for which a browser may keep the files"""


@dataclass(frozen=True, slots=True)
class _File:
    package: str
    name: str
    media_type: str


_FILES: Final = {
    "start.js": _File("service", "page/docs.js", "text/javascript"),
    # fastapi_swagger carries the released files of Swagger UI; its own routes are not used, because they
    # need inline scripts.
    "swagger-ui-bundle.js": _File("fastapi_swagger.resources", "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": _File("fastapi_swagger.resources", "swagger-ui.css", "text/css"),
}


@router.get(
    "/docs", summary="This description in a browser, with requests to try", openapi_extra=openapi.PAGE
)
async def docs(request: Request) -> Response:
    content = _content(_File("service", "page/docs.html", "text/html"))
    headers = {**HEADERS, "Content-Security-Policy": _POLICY}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def _serving(file: _File) -> Callable[[], Awaitable[Response]]:
    async def file_of_docs() -> Response:
        headers = {**HEADERS, "Cache-Control": f"max-age={_MAX_AGE}"}
        return Response(_content(file), media_type=f"{file.media_type}; charset=utf-8", headers=headers)

    return file_of_docs


for _name, _file in _FILES.items():
    router.add_api_route(f"/docs/{_name}", _serving(_file), include_in_schema=False)


@cache
def _content(file: _File) -> bytes:
    return (files(file.package) / file.name).read_bytes()
