"""GET /: a page to try the service; one file without external resources."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.openapi import status as openapi

router = APIRouter(tags=["page"])


@router.get("/", summary="A page to try the service", openapi_extra=openapi.PAGE)
async def page(request: Request) -> Response:
    content, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@cache
def _page() -> tuple[bytes, str]:
    """The page, and a Content-Security-Policy that allows its own script and style alone."""
    text = (files("service") / "page" / "index.html").read_text("utf-8")
    allowed = {
        tag: " ".join(
            f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
            for inline in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy
