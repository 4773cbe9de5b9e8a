"""A plan of a promotion in words, as it is shown before the question."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.gates.offline import gate_names, left_out
from deploy.promotion.plan import Plan
from monitoring.alerts.durations import in_words


def plan_lines(plan: Plan, *, first: bool) -> Iterator[str]:
    """`first`: whether the fleet has no champion, so that the live steps are left out."""
    yield _row("gates", ", ".join(gate_names(plan.gates, first=first)))
    for one in left_out(plan.gates, first=first):
        yield _row("", f"left out: {one.gate}: {one.why}")
    if not first and plan.services > 0:
        yield from _live(plan)
    if plan.approve == "required":
        yield _row("approval", f"a person says yes, within {in_words(plan.approval.longest)}")
    within = in_words(plan.everything.longest)
    if first:
        yield _row("everything", "it is the first champion; services that follow the fleet open it")
    elif plan.services == 0:
        yield _row("everything", "it is the champion; nothing is asked of services (services: 0)")
    else:
        yield _row("everything", f"every service answers all units from it, within {within}")


def _live(plan: Plan) -> Iterator[str]:
    services = f"at least {plan.services} service{'s' if plan.services != 1 else ''}"
    within = in_words(plan.prepare.longest)
    yield _row("prepare", f"{services}, every one opens it beside the champion, within {within}")
    shadow = plan.shadow
    if shadow is not None:
        yield _row(
            "shadow",
            f"at least {shadow.units:,} units, agreement at least {shadow.agreement:.4g}, coverage falls by "
            f"at most {shadow.coverage:.4g}; within {in_words(shadow.longest)}",
        )
    for step in plan.canary:
        least = f"at least {step.units:,} units, within {in_words(step.longest)}"
        yield _row("canary", f"{100 * step.share:.4g} % of the units: {least}")
    if plan.canary:
        limits = (f"{name} {getattr(plan.guardrails, name):.4g}" for name in plan.guardrails.watched)
        yield _row("guardrails", f"worse than the champion by at most: {', '.join(limits)}")


def _row(name: str, text: str) -> str:
    return f"  {name:<12}{text}"
