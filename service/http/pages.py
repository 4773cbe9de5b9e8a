"""Pages: one HTML file each, with its style and script inside, and a policy that allows these alone."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from starlette.responses import Response

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Headers of every page"""
_STYLE: Final = "page.css"
SCRIPTS: Final = {
    "page": ("parts.js", "page.js"),
    "admin": (
        "parts.js",
        "admin_questions.js",
        "admin_lineup.js",
        "admin_fleet.js",
        "admin_figures.js",
        "admin_experiments.js",
        "admin_alerts.js",
        "admin.js",
    ),
}
"""Files of each page's script, one after the other"""


def page_response(name: str) -> Response:
    """The page `service/page/NAME.html`, with the style of all pages and its own script."""
    content, policy = _page(name)
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@cache
def _page(name: str) -> tuple[bytes, str]:
    """The page, and a Content-Security-Policy that allows its own script and style alone."""
    style, script = _text(_STYLE), "".join(_text(file) for file in SCRIPTS[name])
    text = _text(f"{name}.html")
    text = text.replace("<style></style>", f"<style>{style}</style>")
    text = text.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _text(name: str) -> str:
    return (files("service") / "page" / name).read_text("utf-8")


def _digest(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
