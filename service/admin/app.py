"""The private port: which bundles there are, which one answers, and who stands beside it.

A token on every route, compared in constant time, before anything else is looked at. Bundles are named,
never given as paths or addresses, and come from one folder. Every request is written to the log.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bundle.manifest import MANIFEST_FILE, BundleError, BundleManifest
from bundle.verify import verify_bundle
from service.admin.access import TokenRequired
from service.http.bodies import read_json
from service.http.body_limits import BodyLimits
from service.http.connection import guarded_protocol
from service.lineup.fleet import ChangeRefused, Fleet
from service.problems import Problem, RequestError, problem_of_status, refused
from service.responses import json_response
from service.settings import ChallengerSettings, Settings

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LARGEST_BODY: Final = 4096

logger = structlog.get_logger("demur.admin")


def create_admin_app(fleet: Fleet, bundles: Path, token: str) -> FastAPI:
    """The admin's routes over `fleet`; bundles are the folders in `bundles`."""
    app = FastAPI(
        title="demur admin", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )

    @app.get("/bundles")
    async def list_bundles(request: Request) -> Response:
        names = await asyncio.to_thread(_names, bundles)
        return json_response({"bundles": names, **_lineup(fleet)})

    @app.post("/bundles/{name}/verify")
    async def verify(request: Request, name: str) -> Response:
        folder = await asyncio.to_thread(_folder, bundles, name)
        try:
            manifest = await asyncio.to_thread(verify_bundle, folder)
        except BundleError as error:
            raise _unfit(name, str(error)) from error
        return json_response(_summary(manifest))

    @app.post("/bundles/{name}/activate")
    async def activate(request: Request, name: str) -> Response:
        folder = await asyncio.to_thread(_folder, bundles, name)
        return await _changed(fleet, folder.name, partial(fleet.activate, folder))

    @app.post("/rollback")
    async def rollback(request: Request) -> Response:
        champion, previous = fleet.plan.champion, fleet.previous
        if previous is None:
            raise refused("nothing-to-roll-back", 409, "no other bundle has answered since the start")
        return await _changed(fleet, previous.name, partial(fleet.roll_back, champion, previous))

    @app.get("/challengers")
    async def list_challengers(request: Request) -> Response:
        return json_response(_lineup(fleet))

    @app.put("/challengers/{name}")
    async def challenge(request: Request, name: str) -> Response:
        share = _share(read_json(request.headers, await request.body()))
        folder = await asyncio.to_thread(_folder, bundles, name)
        with _refusals(folder.name):
            await asyncio.to_thread(fleet.challenge, ChallengerSettings(folder=folder, share=share))
        logger.info("challenger_set", name=name, share=share, shadow=share is None)
        return json_response(_lineup(fleet))

    @app.delete("/challengers/{name}")
    async def withdraw(request: Request, name: str) -> Response:
        # By its name alone: a challenger whose folder has gone must still be removable.
        folder = next((one.folder for one in fleet.plan.challengers if one.folder.name == name), None)
        if folder is None:
            raise _no_challenger(name)
        try:
            with _refusals(name):
                await asyncio.to_thread(fleet.withdraw, folder)
        except KeyError:
            raise _no_challenger(name) from None
        logger.info("challenger_removed", name=name)
        return json_response(_lineup(fleet))

    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(OSError, _system_error)
    app.add_middleware(BodyLimits, by_path={}, otherwise=_LARGEST_BODY, timeout=10.0)
    # Outermost: without the token nothing else is reached, not even a 404.
    app.add_middleware(TokenRequired, token=token)
    return app


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


def _share(content: dict[str, Any]) -> float | None:
    """The share that a body asks for, or None for the shadow. Raises RequestError (422)."""
    if content == {"shadow": True}:
        return None
    share: Any = content.get("share")
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if set(content) == {"share"} and number and 0 < share <= 1:
        return float(share)
    raise refused(
        "invalid-field",
        422,
        'the body must be {"share": S} with 0 < S <= 1, or {"shadow": true}',
        field="share",
        value=share if isinstance(share, int | float | str) else None,
        limit=[0, 1],
    )


async def _changed(fleet: Fleet, name: str, change: Callable[[], str]) -> Response:
    """The answer to a change of the champion to the bundle `name`."""
    before = fleet.plan.champion.name
    with _refusals(name):
        label = await asyncio.to_thread(change)
    logger.info("activated", name=name, bundle=label, before=before)
    return json_response({"bundle": label, **_lineup(fleet)})


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """A change that is refused, as a problem and a line in the log."""
    try:
        yield
    except ChangeRefused as error:
        logger.warning("change_refused", name=name, why=str(error))
        raise _unfit(name, str(error)) from error


def _lineup(fleet: Fleet) -> dict[str, Any]:
    plan = fleet.plan
    return {
        "active": plan.champion.name,
        "previous": None if fleet.previous is None else fleet.previous.name,
        "challengers": [
            {"name": one.folder.name, "share": one.share, "shadow": one.share is None}
            for one in plan.challengers
        ],
    }


def _summary(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created_at": manifest.created_at.isoformat(),
        "certificates": {entry.key: entry.certificate.sentence() for entry in manifest.certificates},
    }


def _unfit(name: str, why: str) -> RequestError:
    return refused("bundle-refused", 409, f"the bundle is not served: {why}", field="name", value=name)


def _no_challenger(name: str) -> RequestError:
    return refused("no-such-challenger", 404, "no challenger has this name", field="name", value=name[:100])


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class alone
    return error.problem.to_response()


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    return problem_of_status(error.status_code, error.detail, error.headers).to_response()


async def _system_error(request: Request, error: Exception) -> Response:
    """The folder of bundles has gone, or cannot be read."""
    logger.error("bundles_unreadable", error=str(error))
    return Problem("bundles-unreadable", 503, f"the folder of bundles cannot be read: {error}").to_response()
