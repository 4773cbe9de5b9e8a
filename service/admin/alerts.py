"""Alerts on the private port: the list, what people do with one, and silences. No GET changes anything."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any, Final

from fastapi import FastAPI
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from monitoring.alerts.alert import ActKind, Alert
from monitoring.alerts.durations import in_words, read_duration
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.silence import Silence
from service.admin.texts import read_text
from service.alerting.journal import AlertJournal
from service.errors import AlertNotOpen, InvalidField, MissingField, NoSuchAlert, NoSuchSilence
from service.http.bodies import read_json
from service.openapi import alerts as openapi
from service.openapi.alerts import LONGEST_SILENCE, MAX_SILENCES
from service.responses import json_response

_SHORTEST: Final = 4
"""Characters of the beginning of a fingerprint that stand for it"""
_MAX_MATCHERS: Final = 10
_MAX_PATTERN: Final = 300


def add_alert_routes(app: FastAPI, journal: AlertJournal) -> None:
    """Add the routes to the admin application."""

    @app.get("/alerts", summary="Alerts", openapi_extra=openapi.ALERTS)
    async def alerts(request: Request) -> Response:
        state = await asyncio.to_thread(journal.state)
        return json_response(
            {
                "evaluated_at": state.evaluated_at,
                "alerts": [journal.body(alert, state) for alert in _shown(state)],
                "silences": [_silence(one) for one in state.silences.values() if one.holds(time.time())],
            }
        )

    @app.post(
        "/alerts/{fingerprint}/acknowledge",
        summary="Say that somebody sees to it",
        openapi_extra=openapi.ACKNOWLEDGE,
    )
    async def acknowledge(request: Request, fingerprint: str) -> Response:
        return await _act(journal, "acknowledge", request, fingerprint)

    @app.post(
        "/alerts/{fingerprint}/escalate",
        summary="Tell the next one on the ladder",
        openapi_extra=openapi.ESCALATE,
    )
    async def escalate(request: Request, fingerprint: str) -> Response:
        return await _act(journal, "escalate", request, fingerprint)

    @app.post("/alerts/{fingerprint}/resolve", summary="Say that it is over", openapi_extra=openapi.RESOLVE)
    async def resolve(request: Request, fingerprint: str) -> Response:
        return await _act(journal, "resolve", request, fingerprint)

    _add_silence_routes(app, journal)


def _add_silence_routes(app: FastAPI, journal: AlertJournal) -> None:
    @app.get("/silences", summary="Silences", openapi_extra=openapi.SILENCES)
    async def silences(request: Request) -> Response:
        state = await asyncio.to_thread(journal.state)
        return json_response({"silences": [_silence(one) for one in state.silences.values()]})

    @app.post("/silences", summary="Tell nobody for a while", openapi_extra=openapi.SILENCE)
    async def silence(request: Request) -> Response:
        content = read_json(request.headers, await request.body())
        _only(content, "matchers", "lasts", "name", "reason")
        matchers, lasts = _matchers(content), _lasts(content)
        name, reason = read_text(content, "name"), read_text(content, "reason")
        state = await asyncio.to_thread(journal.state)
        if sum(one.holds(time.time()) for one in state.silences.values()) >= MAX_SILENCES:
            raise InvalidField(
                f"{MAX_SILENCES} silences are in force; end one first", field="matchers", limit=MAX_SILENCES
            )
        made = await asyncio.to_thread(journal.silence, matchers, time.time() + lasts, name, reason)
        return json_response(_silence(made))

    @app.delete("/silences/{id}", summary="End a silence", openapi_extra=openapi.END_SILENCE)
    async def end(request: Request, id: str) -> Response:
        name, reason = await _who_and_why(request)
        state = await asyncio.to_thread(journal.state)
        if id not in state.silences:
            known = [one.id for one in state.silences.values() if one.holds(time.time())]
            raise NoSuchSilence("there is no silence of this id", field="id", value=id[:100], limit=known)
        after = await asyncio.to_thread(journal.act, "end-silence", id, name, reason)
        return json_response({**_silence((after or state).silences[id]), "applied": after is not None})


async def _act(journal: AlertJournal, kind: ActKind, request: Request, fingerprint: str) -> Response:
    name, reason = await _who_and_why(request)
    alert = _alert(await asyncio.to_thread(journal.state), fingerprint)
    state = await asyncio.to_thread(journal.act, kind, alert.fingerprint, name, reason)
    return _done(journal, state, alert)


async def _who_and_why(request: Request) -> tuple[str, str]:
    content = read_json(request.headers, await request.body())
    _only(content, "name", "reason")
    return read_text(content, "name"), read_text(content, "reason")


def _only(content: dict[str, Any], *names: str) -> None:
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise InvalidField(
            f"the body has the unknown field {unknown[0][:100]!r}; its fields are {', '.join(names)}",
            field=unknown[0][:100],
            limit=list(names),
        )


def _alert(state: EngineState, fingerprint: str) -> Alert:
    """The alert of a fingerprint, or of the beginning of one. Raises NoSuchAlert or AlertNotOpen."""
    found = [
        alert
        for name, alert in state.alerts.items()
        if len(fingerprint) >= _SHORTEST and name.startswith(fingerprint)
    ]
    if len(found) != 1:
        known = [name for name, alert in state.alerts.items() if alert.active]
        why = "several alerts begin so" if found else "there is no alert with this fingerprint"
        raise NoSuchAlert(why, field="fingerprint", value=fingerprint[:100], limit=known)
    if not found[0].active:
        raise AlertNotOpen(
            f"the alert is {found[0].state}, so nothing can be done with it",
            field="fingerprint",
            value=fingerprint[:100],
        )
    return found[0]


def _done(journal: AlertJournal, state: EngineState | None, alert: Alert) -> Response:
    """The alert after an act; `applied` says whether an engine has taken it up."""
    held = journal.state() if state is None else state
    after = held.alerts.get(alert.fingerprint, alert)
    return json_response({**journal.body(after, held), "applied": state is not None})


def _shown(state: EngineState) -> list[Alert]:
    """Open alerts first, then those that are over, the latest first; without what never fired."""
    shown = [
        alert for alert in state.alerts.values() if alert.resolved_at is None or alert.fired_at is not None
    ]
    return sorted(shown, key=lambda alert: (alert.resolved_at is not None, not alert.active, -alert.opened))


def _silence(one: Silence) -> dict[str, Any]:
    return {**asdict(one), "matchers": dict(one.matchers), "in_force": one.holds(time.time())}


def _matchers(content: dict[str, Any]) -> dict[str, str]:
    if "matchers" not in content:
        raise MissingField("the body has no field 'matchers'", field="matchers")
    value = content["matchers"]
    sound = isinstance(value, dict) and 0 < len(value) <= _MAX_MATCHERS
    if sound and all(isinstance(one, str) and 0 < len(one) <= _MAX_PATTERN for one in value.values()):
        return dict(value)
    raise InvalidField(
        f"matchers must hold 1 to {_MAX_MATCHERS} labels, `rule` or `fingerprint`, each with a pattern of 1 "
        f'to {_MAX_PATTERN} characters, as {{"rule": "drift"}}; * stands for anything',
        field="matchers",
        limit=_MAX_MATCHERS,
    )


def _lasts(content: dict[str, Any]) -> float:
    if "lasts" not in content:
        raise MissingField("the body has no field 'lasts', the duration of the silence, as 2h", field="lasts")
    try:
        seconds = read_duration(content["lasts"])
    except PydanticCustomError as error:
        seconds, why = 0.0, error.message()
    else:
        why = f"it must be from 1m to {in_words(LONGEST_SILENCE)}"
    if not 60.0 <= seconds <= LONGEST_SILENCE:
        shown = content["lasts"] if isinstance(content["lasts"], str | int | float) else None
        limit = ["1m", in_words(LONGEST_SILENCE)]
        raise InvalidField(f"lasts: {why}", field="lasts", value=shown, limit=limit)
    return seconds
