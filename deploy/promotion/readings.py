"""Readings of the live steps: what the reports and the view of a fleet say of each gate. Pure.

What is not there yet, and what is too old, is inconclusive; nothing here decides what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from bundle.registry.generation import Generation, PromotionState, Ref
from deploy.gates.outcome import GateResult
from deploy.promotion.plan import Plan
from deploy.promotion.scene import Sight
from deploy.promotion.steps import LIVE, Phase, Step
from monitoring.fleet.report import ServiceReport


@dataclass(frozen=True, slots=True)
class Expected:
    """What the present step has put in place."""

    plan: Plan
    step: Step
    newcomer: Ref
    number: int
    """Of the record with which the step began"""


def read_step(expected: Expected, sight: Sight, state: PromotionState) -> tuple[GateResult, ...]:
    """The results of one look at a live step; none of a step that asks nothing."""
    reader = _READERS.get(expected.step.phase) if expected.step.gates else None
    return () if reader is None else tuple(reader(expected, sight, state))


def displaced(expected: Expected, generation: Generation) -> str | None:
    """Why the newcomer is not where the step has put it; None: it is there, or the step puts it nowhere."""
    if expected.step.phase not in LIVE or not _beside(expected.plan):
        return None
    label = expected.newcomer.label
    found = [one for one in generation.challengers if one.bundle == expected.newcomer]
    share = _share(expected)
    if found and found[0].share == share and generation.experiment is not None:
        return None
    withdrawals = (generation.experiment or {}).get("withdrawals") or []
    for one in cast("list[Any]", withdrawals):
        if one["arm"] == label:
            return f"{one['cause']}: {one['note']['reason']}"
    change = generation.change
    what = "its share was changed" if found else "it has left the challengers"
    return f"{what} by {change.by}: {change.reason}"


def _beside(plan: Plan) -> bool:
    """Whether the newcomer is ever among the challengers."""
    return plan.services > 0 and (plan.shadow is not None or bool(plan.canary))


def _share(expected: Expected) -> float | None:
    """The share of the newcomer in the step; None: a shadow. A person is asked beside the last share."""
    if expected.step.phase == "approval" and expected.plan.canary:
        return expected.plan.canary[-1].share
    return expected.step.share


def _prepare(expected: Expected, sight: Sight, state: PromotionState) -> Iterator[GateResult]:
    def ready(report: ServiceReport) -> bool:
        return expected.newcomer.digest in report.opened

    yield _services("prepare", expected, sight.reports, ready, f"have {expected.newcomer.label} open")


def _everything(expected: Expected, sight: Sight, state: PromotionState) -> Iterator[GateResult]:
    def ready(report: ServiceReport) -> bool:
        return report.generation >= expected.number and report.champion == expected.newcomer.digest

    yield _services("everything", expected, sight.reports, ready, f"answer from {expected.newcomer.label}")


def _follow(expected: Expected, reports: Sequence[ServiceReport]) -> GateResult:
    def ready(report: ServiceReport) -> bool:
        return report.generation >= expected.number

    return _services("services", expected, reports, ready, f"follow generation {expected.number}")


def _services(
    gate: str,
    expected: Expected,
    reports: Sequence[ServiceReport],
    ready: Callable[[ServiceReport], bool],
    what: str,
) -> GateResult:
    """All services that report, at least as many as the plan asks for, are ready."""
    least, there = expected.plan.services, [one for one in reports if ready(one)]
    text = f"{len(there)} of {len(reports)} services {what}; at least {least} must"
    behind = [one for one in reports if one not in there]
    broken = next((one for one in behind if one.fault is not None), None)
    if broken is not None:
        return GateResult(gate, "failed", f"{broken.service}: {broken.fault}", len(there), least)
    if behind:
        text += f"; {', '.join(one.service for one in behind[:5])} not yet"
    passed = not behind and len(there) >= max(1, least)
    return GateResult(gate, "passed" if passed else "inconclusive", text, len(there), least)


def _shadow(expected: Expected, sight: Sight, state: PromotionState) -> Iterator[GateResult]:
    yield _follow(expected, sight.reports)
    plan = expected.plan.shadow
    if plan is None:
        return
    shadows = {} if sight.view is None else sight.view.get("shadows") or {}
    found: Mapping[str, Any] = shadows.get(expected.newcomer.label) or {}
    units = int(found.get("units") or 0)
    yield _enough("shadow units", units, plan.units)
    agreement = found.get("agreement")
    yield _at_least("shadow agreement", agreement, plan.agreement, units >= plan.units)
    control, shadow = found.get("control_answered"), found.get("answered")
    fall = None if control is None or shadow is None else control - shadow
    yield _at_most("shadow coverage", fall, plan.coverage, units >= plan.units)


def _canary(expected: Expected, sight: Sight, state: PromotionState) -> Iterator[GateResult]:
    yield _follow(expected, sight.reports)
    view = _of_this_stratum(sight)
    strata = [] if view is None else view.get("strata_units") or []
    units = int(strata[-1].get(expected.newcomer.label) or 0) if strata else 0
    yield _enough("canary units", units, expected.plan.canary[expected.step.index].units)
    yield _shares(view)
    deciding = expected.plan.deciding(expected.step.index)
    for result in _guards(expected, view):
        if result.outcome != "inconclusive" or result.gate.removeprefix("guardrail ") in deciding:
            yield result


def _approval(expected: Expected, sight: Sight, state: PromotionState) -> Iterator[GateResult]:
    if state.approval is None:
        yield GateResult("approval", "inconclusive", "nobody has approved it yet: `demur promotion approve`")
    else:
        text = f"{state.approval.by}: {state.approval.comment}"
        yield GateResult("approval", "passed", text, state.approval.by)
    # The newcomer goes on answering its last share meanwhile.
    yield from (one for one in _guards(expected, sight.view) if one.outcome == "failed")


def _shares(view: Mapping[str, Any] | None) -> GateResult:
    if view is None or view.get("sample_ratio") is None:
        return GateResult("canary shares", "inconclusive", "no unit has been counted yet")
    e_value = float(view["sample_ratio"]["highest"])
    if view.get("blocked"):
        text = "the arms do not have their shares of the units, so nothing can be concluded"
        return GateResult("canary shares", "failed", text, e_value)
    return GateResult("canary shares", "passed", "the arms have their shares of the units", e_value)


def _guards(expected: Expected, view: Mapping[str, Any] | None) -> Iterator[GateResult]:
    found = () if view is None else view.get("guardrails", ())
    for guard in expected.plan.guardrails.watched:
        reading = next(
            (one for one in found if (one["guard"], one["arm"]) == (guard, expected.newcomer.label)), None
        )
        limit = getattr(expected.plan.guardrails, guard)
        if reading is None:
            yield GateResult(
                f"guardrail {guard}", "inconclusive", "nothing has been counted yet", None, limit
            )
        else:
            details = {name: reading.get(name) for name in ("control", "challenger", "low", "high", "units")}
            outcome = _STATES.get(str(reading["state"]), "inconclusive")
            yield GateResult(f"guardrail {guard}", outcome, reading["text"], reading["harm"], limit, details)


def _enough(gate: str, units: int, least: int) -> GateResult:
    text = f"{units:,} of at least {least:,} units"
    return GateResult(gate, "passed" if units >= least else "inconclusive", text, units, least)


def _at_least(gate: str, figure: float | None, limit: float, enough: bool) -> GateResult:
    held = None if figure is None else figure >= limit
    return _limited(gate, figure, limit, held if enough else None, f"at least {limit:.2%} is needed")


def _at_most(gate: str, figure: float | None, limit: float, enough: bool) -> GateResult:
    held = None if figure is None else figure <= limit
    return _limited(
        gate, figure, limit, held if enough else None, f"a fall of at most {limit:.2%} is allowed"
    )


def _limited(gate: str, figure: float | None, limit: float, held: bool | None, allowed: str) -> GateResult:
    """`held`: whether the limit is kept; None: too little has been counted to say so."""
    outcome: Literal["passed", "failed", "inconclusive"] = "inconclusive"
    if held is not None:
        outcome = "passed" if held else "failed"
    text = "nothing has been counted yet" if figure is None else f"{figure:.2%}; {allowed}"
    return GateResult(gate, outcome, text, figure, limit)


def _of_this_stratum(sight: Sight) -> Mapping[str, Any] | None:
    """A view that has counted with the shares of now; None for one of an earlier step."""
    experiment = sight.generation.experiment
    if sight.view is None or experiment is None:
        return None
    stratum = len(cast("list[Any]", experiment["strata"])) - 1
    return sight.view if sight.view.get("stratum") == stratum else None


_STATES: Final[Mapping[str, Literal["passed", "failed", "inconclusive"]]] = {
    "within": "passed",
    "beyond": "failed",
}
_Reader = Callable[[Expected, Sight, PromotionState], Iterator[GateResult]]
_READERS: Final[Mapping[Phase, _Reader]] = {
    "prepare": _prepare,
    "shadow": _shadow,
    "canary": _canary,
    "approval": _approval,
    "everything": _everything,
}
