"""Gates that a plan asks for, and why the others are left out, which is not the same as passed."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.gates.environment import signature_mode
from deploy.gates.outcome import LeftOut
from deploy.gates.plan import GATE_NAMES, GateName, GatesPlan


def gate_names(plan: GatesPlan, *, first: bool) -> tuple[str, ...]:
    """Names of the gates that give a result, in their order. `first`: the fleet has no champion yet."""
    absent = {one.gate for one in left_out(plan, first=first)}
    return tuple(gate for gate in GATE_NAMES if gate not in absent)


def left_out(plan: GatesPlan, *, first: bool) -> tuple[LeftOut, ...]:
    """The other gates, each with the reason."""
    return tuple(LeftOut(gate, why) for gate in GATE_NAMES for why in _reasons(gate, plan, first))


def _reasons(gate: GateName, plan: GatesPlan, first: bool) -> Iterator[str]:
    """The first reason to leave a gate out; none if it is asked for."""
    if gate in plan.leave_out:
        yield "The plan leaves it out (gates.leave_out)."
    elif gate == "signature":
        yield from _signature(plan)
    elif gate in ("regression", "risk"):
        if plan.regression.test_set is None:
            yield "The plan names no test set (gates.regression.test_set)."
        elif gate == "regression" and first:
            yield "The fleet has no champion to compare with."
    elif gate in ("latency", "memory", "start"):
        field = "p99" if gate == "latency" else gate
        budget, ratio = (getattr(plan.speed, name) for name in (field, f"{field}_ratio"))
        if budget is None and first:
            yield f"The fleet has no champion to compare with, and the plan no budget (gates.speed.{field})."
        elif budget is None and ratio is None:
            yield f"The plan has no limit (gates.speed.{field}, gates.speed.{field}_ratio)."


def _signature(plan: GatesPlan) -> Iterator[str]:
    mode = signature_mode(plan)
    if mode != "require":
        where = "DEMUR_SIGNATURES" if plan.signature.mode == "settings" else "gates.signature.mode"
        yield f"No signature is required ({where} is {mode})."
