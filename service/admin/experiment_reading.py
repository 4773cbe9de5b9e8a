"""GET /experiments: all of them, the report of one, how long one takes, and the self-test on the own log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from monitoring.experiments.definition import Definition, DefinitionUnreadable
from monitoring.experiments.power import Asked, PowerUnknown
from monitoring.experiments.self_test import SelfTestTerms
from monitoring.experiments.unit_log import TooFewUnits
from service.admin.experiment_bodies import PowerQuery, SelfTestQuery, parsed
from service.admin.experiment_log import ExperimentLog
from service.errors import ExperimentRefused, InvalidField, NoSuchExperiment, NotEnoughEvents, RequestError
from service.lineup.experiments import Experiments
from service.openapi import experiments as openapi
from service.responses import json_response

_Result = TypeVar("_Result")


def add_reading_routes(app: FastAPI, experiments: Experiments, log: ExperimentLog | None) -> None:
    """Add the routes that change nothing to the admin application. `log`: None: only a list can be had."""
    one_at_a_time = asyncio.Lock()

    async def read(work: Callable[[ExperimentLog], _Result]) -> _Result:
        if log is None:
            raise NotEnoughEvents("this service keeps no event log")
        async with one_at_a_time:
            try:
                return await asyncio.to_thread(work, log)
            except TooFewUnits as error:
                raise NotEnoughEvents(str(error)) from error

    @app.get("/experiments", summary="All experiments", openapi_extra=openapi.EXPERIMENTS)
    async def list_experiments(request: Request) -> Response:
        folder = experiments.folder
        every = [] if folder is None else await asyncio.to_thread(folder.all)
        return json_response({"experiments": [shown(experiments, one) for one in reversed(every)]})

    @app.get("/experiments/power", summary="How long one takes", openapi_extra=openapi.POWER)
    async def power(request: Request) -> Response:
        given = parsed(PowerQuery, dict(request.query_params))
        asked = Asked(given.metric, given.difference, given.share, given.power)
        try:
            asked.design()
        except PowerUnknown as error:
            raise InvalidField(str(error), field="difference", value=given.difference) from error
        return json_response(await read(lambda held: held.power(asked)))

    @app.get("/experiments/self-test", summary="Equal arms, dealt anew", openapi_extra=openapi.SELF_TEST)
    async def self_test(request: Request) -> Response:
        given = parsed(SelfTestQuery, dict(request.query_params))
        terms = SelfTestTerms(given.share, given.deals, given.looks)
        return json_response(await read(lambda held: held.self_test(terms)))

    @app.get("/experiments/{name}/report", summary="Analysis", openapi_extra=openapi.REPORT)
    async def analysis(request: Request, name: str) -> Response:
        definition = await asyncio.to_thread(_known, experiments, name)
        found = await read(lambda held: held.report(definition))
        return json_response({**shown(experiments, definition), "analysis": found})


def shown(experiments: Experiments, definition: Definition) -> dict[str, Any]:
    """An experiment without its salt, with which a client could choose its arm by the name of a unit."""
    values = definition.to_values()
    del values["salt"], values["configured"]
    folder = experiments.folder
    view = None if folder is None else folder.view(definition.name)
    return {**values, "running": definition.running, "names": definition.names, "view": view}


def not_running(experiments: Experiments, name: str) -> RequestError:
    """The error of an experiment that does not run."""
    running = experiments.running
    return NoSuchExperiment(name, None if running is None else running.name)


def _known(experiments: Experiments, name: str) -> Definition:
    try:
        found = None if experiments.folder is None else experiments.folder.read(name)
    except (DefinitionUnreadable, OSError) as error:
        raise ExperimentRefused(name, f"its file cannot be used: {error}") from error
    if found is None:
        raise not_running(experiments, name)
    return found
