"""The private port: which bundles there are, and which one answers.

A token on every route, compared in constant time, before anything else is looked at. Bundles are named,
never given as paths or addresses, and come from one folder. Every request is written to the log.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bundle.manifest import MANIFEST_FILE, BundleError, BundleManifest
from bundle.verify import verify_bundle
from service.control import ChangeRefused, Fleet
from service.limits import BodyLimits
from service.problems import Problem, RequestError, problem_of_status, refused
from service.protocol import guarded_protocol
from service.responses import json_response
from service.settings import Settings

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

logger = structlog.get_logger("demur.admin")


def create_admin_app(fleet: Fleet, bundles: Path, token: str) -> FastAPI:
    """The admin's routes over `fleet`; bundles are the folders in `bundles`."""
    app = FastAPI(
        title="demur admin", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )

    @app.get("/bundles")
    async def list_bundles(request: Request) -> Response:
        names = await asyncio.to_thread(_names, bundles)
        return json_response({"bundles": names, "active": fleet.folder.name, "previous": _previous(fleet)})

    @app.post("/bundles/{name}/verify")
    async def verify(request: Request, name: str) -> Response:
        folder = _folder(bundles, name)
        try:
            manifest = await asyncio.to_thread(verify_bundle, folder)
        except BundleError as error:
            raise _unfit(name, str(error)) from error
        return json_response(_summary(manifest))

    @app.post("/bundles/{name}/activate")
    async def activate(request: Request, name: str) -> Response:
        return await _change(fleet, _folder(bundles, name))

    @app.post("/rollback")
    async def rollback(request: Request) -> Response:
        if fleet.previous is None:
            raise refused("nothing-to-roll-back", 409, "no other bundle has answered since the start")
        return await _change(fleet, fleet.previous)

    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_middleware(BodyLimits, by_path={}, otherwise=4096, timeout=10.0)
    # Outermost: without the token nothing else is reached, not even a 404.
    app.add_middleware(TokenRequired, token=token)
    return app


class TokenRequired:
    """Lets requests with the bearer token through, and writes each request to the log."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        allowed = hmac.compare_digest(given, self._expected)
        client = scope["client"][0] if scope["client"] else None
        logger.info("admin", method=scope["method"], path=scope["path"], client=client, allowed=allowed)
        if allowed:
            await self._app(scope, receive, send)
            return
        problem = Problem(
            "unauthorized",
            401,
            "every admin request needs the token",
            "Authorization",
            headers={"WWW-Authenticate": "Bearer", "Connection": "close"},
        )
        await problem.to_response()(scope, receive, send)


@contextmanager
def admin_port(settings: Settings, fleet: Fleet) -> Iterator[None]:
    """Serve the admin's routes on a thread while this lasts; nothing where no port is set."""
    if settings.admin_port is None or settings.admin_token is None:
        yield
        return
    bundles = (settings.bundles or settings.bundle.parent).resolve()
    config = uvicorn.Config(
        create_admin_app(fleet, bundles, settings.admin_token),
        http=guarded_protocol(settings.max_header_bytes, settings.header_timeout),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    family = socket.AF_INET6 if ":" in settings.admin_host else socket.AF_INET
    listener = socket.create_server((settings.admin_host, settings.admin_port), family=family)
    logger.info("admin_port", host=settings.admin_host, port=listener.getsockname()[1])
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="admin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(5.0)


def _names(bundles: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in bundles.iterdir()
        if _NAME.fullmatch(entry.name) and not entry.is_symlink() and (entry / MANIFEST_FILE).is_file()
    )


def _folder(bundles: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise refused("invalid-field", 422, "a bundle is named by its folder's plain name", field="name")
    if name not in _names(bundles):
        raise refused("no-such-bundle", 404, "there is no bundle of this name", field="name", value=name)
    return bundles / name


async def _change(fleet: Fleet, folder: Path) -> Response:
    before = fleet.folder.name
    try:
        label = await asyncio.to_thread(fleet.activate, folder)
    except ChangeRefused as error:
        logger.warning("activation_refused", name=folder.name, why=str(error))
        raise _unfit(folder.name, str(error)) from error
    logger.info("activated", name=folder.name, bundle=label, before=before)
    return json_response({"active": folder.name, "bundle": label, "previous": _previous(fleet)})


def _previous(fleet: Fleet) -> str | None:
    return None if fleet.previous is None else fleet.previous.name


def _summary(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created_at": manifest.created_at.isoformat(),
        "certificates": {entry.key: entry.certificate.sentence() for entry in manifest.certificates},
    }


def _unfit(name: str, why: str) -> RequestError:
    return refused("bundle-refused", 409, f"the bundle is not served: {why}", field="name", value=name)


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class alone
    return error.problem.to_response()


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    return problem_of_status(error.status_code, error.detail, error.headers).to_response()
