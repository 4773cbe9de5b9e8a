"""GET /: a page to try the service; one file without external resources."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.openapi import status as openapi

router = APIRouter(tags=["page"])

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Headers of every page"""


@router.get("/", summary="A page to try the service", openapi_extra=openapi.PAGE)
async def page(request: Request) -> Response:
    content, policy = _page()
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@cache
def _page() -> tuple[bytes, str]:
    """The page, and a Content-Security-Policy that allows its own script and style alone."""
    folder = files("service") / "page"
    text = (folder / "index.html").read_text("utf-8")
    allowed = {}
    for tag, name in (("style", "page.css"), ("script", "page.js")):
        inline = (folder / name).read_text("utf-8")
        text = text.replace(f"<{tag}></{tag}>", f"<{tag}>{inline}</{tag}>")
        allowed[tag] = f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
    policy = (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy
