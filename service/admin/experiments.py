"""GET and POST /experiments: start one, change a share, withdraw an arm, stop it, and read its report."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from monitoring.experiments.definition import Definition, DefinitionUnreadable
from service.admin.bundle_folder import folder_of
from service.admin.changes import while_connected
from service.admin.experiment_bodies import ShareBody, StartBody, Told, WithdrawBody, parsed
from service.errors import (
    ChangeRefused,
    ExperimentRefused,
    InvalidField,
    NoSuchBundle,
    NoSuchChallenger,
    NoSuchExperiment,
    RequestError,
)
from service.http.bodies import read_json
from service.lineup.experiments import Asked, Experiments, Start
from service.openapi import experiments as openapi
from service.responses import json_response
from service.settings import ChallengerSettings

logger = structlog.get_logger("demur.experiments")

ReportOf = Callable[[Definition], dict[str, Any]]
"""Analyses an experiment; takes seconds on a long log."""


def add_experiment_routes(
    app: FastAPI, experiments: Experiments, bundles: Path, report: ReportOf | None
) -> None:
    """Add the routes to the admin application. `report`: None: no experiment can be analysed."""
    _add_reading_routes(app, experiments, report)

    @app.post("/experiments", summary="Start an experiment", openapi_extra=openapi.START)
    async def start(request: Request) -> Response:
        body = parsed(StartBody, read_json(request.headers, await request.body()))
        challengers = await asyncio.to_thread(_challengers, bundles, body)
        order = Start(
            *(body.name, body.salt or secrets.token_hex(16), body.by, body.reason, challengers),
            *(body.metrics, body.guardrails.values(), body.on_mismatch),
        )
        with _refusals(body.name, experiments):
            definition = await while_connected(request, partial(experiments.start, order))
        shares = dict(definition.strata[-1].shares)
        logger.warning("experiment_started", experiment=body.name, by=body.by, why=body.reason, shares=shares)
        return json_response(_shown(experiments, definition))

    @app.post("/experiments/{name}/share", summary="Change a share", openapi_extra=openapi.SHARE)
    async def share(request: Request, name: str) -> Response:
        body = parsed(ShareBody, read_json(request.headers, await request.body()))
        running = _running(experiments, name)
        folder = _arm_folder(running, body.arm)
        if folder is None:
            folder = await asyncio.to_thread(folder_of, bundles, body.arm)
        challenger = ChallengerSettings(folder=folder, share=None if body.share == "shadow" else body.share)
        change = partial(experiments.challenge, challenger, asked=Asked(body.by, body.reason, name))
        return await _changed(request, experiments, name, change, body)

    @app.post("/experiments/{name}/withdraw", summary="Withdraw an arm", openapi_extra=openapi.WITHDRAW)
    async def withdraw(request: Request, name: str) -> Response:
        body = parsed(WithdrawBody, read_json(request.headers, await request.body()))
        folder = _arm_folder(_running(experiments, name), body.arm)
        if folder is None:
            raise NoSuchChallenger(body.arm)
        change = partial(experiments.withdraw, folder, asked=Asked(body.by, body.reason, name))
        return await _changed(request, experiments, name, change, body)

    @app.post("/experiments/{name}/stop", summary="Stop an experiment", openapi_extra=openapi.STOP)
    async def stop(request: Request, name: str) -> Response:
        body = parsed(Told, read_json(request.headers, await request.body()))
        _running(experiments, name)
        with _refusals(name, experiments):
            ended = await while_connected(request, partial(experiments.stop, name, (body.by, body.reason)))
        logger.warning("experiment_stopped", experiment=name, by=body.by, why=body.reason)
        return json_response(_shown(experiments, ended))


def _add_reading_routes(app: FastAPI, experiments: Experiments, report: ReportOf | None) -> None:
    one_at_a_time = asyncio.Lock()

    @app.get("/experiments", summary="All experiments", openapi_extra=openapi.EXPERIMENTS)
    async def list_experiments(request: Request) -> Response:
        folder = experiments.folder
        every = [] if folder is None else await asyncio.to_thread(folder.all)
        return json_response({"experiments": [_shown(experiments, one) for one in reversed(every)]})

    @app.get("/experiments/{name}/report", summary="Analysis", openapi_extra=openapi.REPORT)
    async def analysis(request: Request, name: str) -> Response:
        definition = await asyncio.to_thread(_known, experiments, name)
        if report is None:
            raise ExperimentRefused(name, "this service keeps no event log")
        async with one_at_a_time:
            found = await asyncio.to_thread(report, definition)
        return json_response({**_shown(experiments, definition), "analysis": found})


async def _changed(
    request: Request, experiments: Experiments, name: str, change: Callable[..., None], body: Told
) -> Response:
    with _refusals(name, experiments):
        await while_connected(request, change)
    logger.warning("experiment_changed", experiment=name, **body.model_dump())
    return json_response(_shown(experiments, _running(experiments, name)))


@contextmanager
def _refusals(name: str, experiments: Experiments) -> Iterator[None]:
    try:
        yield
    except ChangeRefused as error:
        logger.warning("change_refused", experiment=name, why=str(error))
        raise ExperimentRefused(name, str(error)) from error
    except KeyError:
        raise _not_running(experiments, name) from None


def _challengers(bundles: Path, body: StartBody) -> list[ChallengerSettings]:
    """The challengers of a start. Raises InvalidField with every bundle that there is not."""
    found, faults = [], []
    for name, share in body.arms.items():
        try:
            folder = folder_of(bundles, name)
        except (NoSuchBundle, InvalidField) as error:
            faults.append(f"arms.{name[:100]}: {error.detail}")
            continue
        found.append(ChallengerSettings(folder=folder, share=None if share == "shadow" else share))
    total = sum(one.share or 0.0 for one in found)
    if total > 1 + 1e-9:
        faults.append(f"arms: the shares are {total:g} in sum; they must be at most 1")
    if faults:
        raise InvalidField("; ".join(faults), field="arms")
    return found


def _arm_folder(running: Definition, arm: str) -> Path | None:
    """Folder of an arm that is in the experiment, by its label or by the name of its folder."""
    found = (Path(one.folder) for one in running.arms if arm in (one.label, Path(one.folder).name))
    return next(found, None)


def _running(experiments: Experiments, name: str) -> Definition:
    running = experiments.running
    if running is None or running.name != name:
        raise _not_running(experiments, name)
    return running


def _not_running(experiments: Experiments, name: str) -> RequestError:
    running = experiments.running
    return NoSuchExperiment(name, None if running is None else running.name)


def _known(experiments: Experiments, name: str) -> Definition:
    try:
        found = None if experiments.folder is None else experiments.folder.read(name)
    except (DefinitionUnreadable, OSError) as error:
        raise ExperimentRefused(name, f"its file cannot be used: {error}") from error
    if found is None:
        raise _not_running(experiments, name)
    return found


def _shown(experiments: Experiments, definition: Definition) -> dict[str, Any]:
    """An experiment without its salt, with which a client could choose its arm by the name of a unit."""
    values = definition.to_values()
    del values["salt"], values["configured"]
    folder = experiments.folder
    view = None if folder is None else folder.view(definition.name)
    return {**values, "running": definition.running, "names": definition.names, "view": view}
