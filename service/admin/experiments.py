"""POST /experiments: start one, change a share, withdraw an arm, and stop it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from monitoring.experiments.changes import Design
from monitoring.experiments.definition import Definition
from service.admin.changes import while_connected
from service.admin.experiment_bodies import ShareBody, StartBody, Told, WithdrawBody, parsed
from service.admin.experiment_reading import not_running, shown
from service.admin.named_bundles import named_folder
from service.errors import (
    ChangeRefused,
    ExperimentRefused,
    InvalidField,
    NoSuchBundle,
    NoSuchChallenger,
)
from service.http.bodies import read_json
from service.lineup.experiment_orders import Asked, Start
from service.lineup.experiments import Experiments
from service.lineup.record import LineupRecord
from service.openapi import experiments as openapi
from service.responses import json_response
from service.settings import ChallengerSettings

logger = structlog.get_logger("demur.experiments")


def add_experiment_routes(app: FastAPI, experiments: Experiments, bundles: Path) -> None:
    """Add the routes that change an experiment to the admin application."""

    @app.post("/experiments", summary="Start an experiment", openapi_extra=openapi.START)
    async def start(request: Request) -> Response:
        body = parsed(StartBody, read_json(request.headers, await request.body()))
        challengers = await asyncio.to_thread(_challengers, experiments.record, bundles, body)
        salt = body.salt or secrets.token_hex(16)
        design = Design(body.name, salt, body.metrics, body.guardrails.values(), body.on_mismatch)
        order = Start(design, body.by, body.reason, challengers)
        with _refusals(body.name, experiments):
            definition = await while_connected(request, partial(experiments.start, order))
        shares = dict(definition.strata[-1].shares)
        logger.warning("experiment_started", experiment=body.name, by=body.by, why=body.reason, shares=shares)
        return json_response(shown(experiments, definition))

    @app.post("/experiments/{name}/share", summary="Change a share", openapi_extra=openapi.SHARE)
    async def share(request: Request, name: str) -> Response:
        body = parsed(ShareBody, read_json(request.headers, await request.body()))
        running = _running(experiments, name)
        folder = _arm_folder(running, body.arm)
        if folder is None:
            folder = await asyncio.to_thread(named_folder, experiments.record, bundles, body.arm)
        challenger = ChallengerSettings(folder=folder, share=None if body.share == "shadow" else body.share)
        change = partial(experiments.challenge, challenger, asked=Asked(body.by, body.reason, name))
        return await _changed(request, experiments, name, change, body)

    @app.post("/experiments/{name}/withdraw", summary="Withdraw an arm", openapi_extra=openapi.WITHDRAW)
    async def withdraw(request: Request, name: str) -> Response:
        body = parsed(WithdrawBody, read_json(request.headers, await request.body()))
        folder = _arm_folder(_running(experiments, name), body.arm)
        if folder is None and experiments.record is not None:
            folder = await asyncio.to_thread(named_folder, experiments.record, bundles, body.arm)
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
        return json_response(shown(experiments, ended))


async def _changed(
    request: Request, experiments: Experiments, name: str, change: Callable[..., None], body: Told
) -> Response:
    with _refusals(name, experiments):
        await while_connected(request, change)
    logger.warning("experiment_changed", experiment=name, **body.model_dump())
    return json_response(shown(experiments, _running(experiments, name)))


@contextmanager
def _refusals(name: str, experiments: Experiments) -> Iterator[None]:
    try:
        yield
    except ChangeRefused as error:
        logger.warning("change_refused", experiment=name, why=str(error))
        raise ExperimentRefused(name, str(error)) from error
    except KeyError:
        raise not_running(experiments, name) from None


def _challengers(record: LineupRecord | None, bundles: Path, body: StartBody) -> list[ChallengerSettings]:
    """The challengers of a start. Raises InvalidField with every bundle that there is not."""
    found, faults = [], []
    for name, share in body.arms.items():
        try:
            folder = named_folder(record, bundles, name)
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
        raise not_running(experiments, name)
    return running
