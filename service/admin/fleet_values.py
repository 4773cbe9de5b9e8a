"""The fleet as plain values: what its record says, and what each service says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic_core import PydanticCustomError

from bundle.registry.generation import Challenger, Generation, PromotionState, Ref
from bundle.registry.promotions import ENDED
from monitoring.alerts.durations import read_duration
from monitoring.fleet.report import ServiceReport


def fleet_values(
    name: str,
    registry: str,
    newest: Generation | None,
    reports: Sequence[ServiceReport],
    unseen: str | None = None,
) -> dict[str, Any]:
    """`registry`: its address without passwords; `unseen`: why the services cannot be seen."""
    aliases = {} if newest is None else newest.aliases()
    experiment = None if newest is None or newest.experiment is None else newest.experiment.get("name")
    return {
        "fleet": name,
        "registry": registry,
        "generation": None if newest is None else newest.number,
        "changed": None if newest is None else asdict(newest.change),
        "champion": _ref(aliases.get("champion")),
        "previous": _ref(aliases.get("previous")),
        "challengers": [] if newest is None else [_challenger(one) for one in newest.challengers],
        "next": None if newest is None else _ref(newest.next),
        "experiment": experiment,
        "promotion": None if newest is None else promotion_values(newest.promotion),
        "services": [_service(one, newest) for one in reports],
        "unseen": unseen,
    }


def promotion_values(state: PromotionState | None) -> dict[str, Any] | None:
    """A promotion, running or ended; None: the fleet has had none."""
    if state is None:
        return None
    return {
        "id": state.id,
        "newcomer": _ref(state.newcomer),
        "running": state.phase not in ENDED,
        "phase": state.phase,
        "step": state.step,
        "since": state.since,
        "until": deadline(state),
        "started": asdict(state.started),
        "holder": state.holder,
        "results": [dict(one) for one in state.results],
        "approval": None if state.approval is None else asdict(state.approval),
        "why": state.why,
        "plan": dict(state.plan),
    }


def deadline(state: PromotionState) -> float | None:
    """Unix time at which the present step ends in a rollback, by the plan in the record; None: its plan names
    no longest time, or the promotion has ended."""
    part: Any = state.plan.get(state.phase)
    if isinstance(part, Sequence) and not isinstance(part, str):
        part = part[state.step] if state.step < len(part) else None
    if not isinstance(part, Mapping):
        return None
    try:
        return state.since + read_duration(part["longest"])
    except (KeyError, PydanticCustomError):
        return None


def _ref(ref: Ref | None) -> dict[str, Any] | None:
    return None if ref is None else asdict(ref)


def _challenger(one: Challenger) -> dict[str, Any]:
    bundle = _ref(one.bundle)
    return {"name": one.name, "bundle": bundle, "share": one.share, "shadow": one.share is None}


def _service(report: ServiceReport, newest: Generation | None) -> dict[str, Any]:
    behind = 0 if newest is None else max(0, newest.number - report.generation)
    return {**asdict(report), "opened": list(report.opened), "behind": behind}
