"""GET /rolling: the figures of the labelled predictions, over windows of several sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.windows.snapshot import TOTAL
from service.errors import InvalidField, NoSuchBundle
from service.openapi import rolling as openapi
from service.responses import json_response
from service.state import Service, service_of

router = APIRouter(tags=["labels"])

_MOST_NAMED: Final = 20
"""Bundles that a refusal names."""


@router.get("/rolling", summary="Figures over the labelled predictions", openapi_extra=openapi.ROLLING)
async def rolling(request: Request) -> Response:
    service = service_of(request)
    sizes = _sizes(request.query_params.getlist("window"), service.settings.windows)
    label = request.query_params.get("bundle", service.deployments.champion.label)
    return json_response(await asyncio.to_thread(rolling_body, service, label, sizes))


def rolling_body(service: Service, label: str, sizes: Sequence[int]) -> dict[str, Any]:
    """The body; reads the store. Raises NoSuchBundle and StoreUnavailable."""
    deployments = service.deployments
    champion = deployments.champion
    serving = {one.label: one for one in (champion, *(each.deployment for each in deployments.challengers))}
    known = service.windows.bundles()
    if label not in serving and label not in known and label != TOTAL:
        raise NoSuchBundle(
            f"no bundle of this label has served; {TOTAL!r} is all of them",
            field="bundle",
            value=label[:200],
            limit=[*dict.fromkeys((*serving, *reversed(known)))][:_MOST_NAMED],
        )
    own, total = service.windows.rolling([label, TOTAL], len(champion.classes))
    # Bundles of one model are of one task, so an earlier one earned a reward if the champion does.
    with_reward = serving.get(label, champion).earns_reward
    return {
        **own.to_dict(with_reward=with_reward, sizes=sizes),
        "total": total.to_dict(with_reward=champion.earns_reward, sizes=sizes),
        "bundles": known,
        "events_waiting": service.windows.waiting,
        "labels": service.label_access(),
    }


def _sizes(asked: Sequence[str], held: Sequence[int]) -> Sequence[int]:
    """The sizes of windows to show; all of them if none is asked for. Raises InvalidField."""
    for text in asked:
        if text not in map(str, held):
            raise InvalidField(
                "window must be a size that DEMUR_WINDOWS names",
                field="window",
                value=text[:64],
                limit=list(held),
            )
    return sorted({int(text) for text in asked}) if asked else held
