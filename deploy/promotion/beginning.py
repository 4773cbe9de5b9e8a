"""Beginning of a promotion: what must hold before anything is changed, each with its way out."""

from __future__ import annotations

from bundle.registry.generation import Generation, PromotionState, Ref
from bundle.registry.promotions import running
from deploy.errors import AlreadyChampion, ChampionGone, FleetNotReady, LineupBusy, PromotionRunning
from deploy.promotion.plan import Plan
from deploy.promotion.scene import Scene


def require_free(now: Generation | None, newcomer: Ref, fleet: str) -> None:
    """Raise a PromotionRefused if the fleet is not free for a promotion of `newcomer`."""
    state = running(now)
    if state is not None:
        raise PromotionRunning(_running(state, fleet))
    if now is None:
        return
    if now.champion == newcomer:
        raise AlreadyChampion(
            f"{newcomer.label} ({newcomer.digest[:12]}) is the champion of fleet {fleet} already, since "
            f"generation {now.number} at the latest; nothing was changed"
        )
    if now.experiment is not None:
        name = now.experiment.get("name")
        raise LineupBusy(
            f"the experiment {name} runs in fleet {fleet}, and a promotion counts in an experiment of its "
            f"own; wait for its end, or stop it with POST /experiments/{name}/stop at the private port of a "
            "service"
        )
    if now.challengers:
        names = ", ".join(f"{one.name} ({one.bundle.label})" for one in now.challengers)
        itself = any(one.bundle == newcomer for one in now.challengers)
        raise LineupBusy(
            f"{'the newcomer is' if itself else 'another bundle is'} a challenger of fleet {fleet} already: "
            f"{names}; withdraw every challenger first, with DELETE /challengers/NAME at the private port of "
            "a service"
        )


def require_ready(scene: Scene, now: Generation | None, plan: Plan) -> None:
    """Raise a PromotionRefused if the champion is not in the registry, or the services are not as the plan
    asks. Raises StoreUnavailable and RegistryUnavailable."""
    if now is None or now.champion is None:
        return
    if not scene.registry.has(now.champion.digest):
        raise ChampionGone(
            f"the champion {now.champion.label} ({now.champion.digest}) is not in the registry any more, so "
            "nothing can be held against it and no service could return to it; push it again: `demur "
            "registry push FOLDER`, or `demur rollback` to the champion before it"
        )
    if plan.services > 0:
        _require_services(scene, plan)


def _require_services(scene: Scene, plan: Plan) -> None:
    reports = [] if scene.reports is None else scene.reports.all()
    if len(reports) < plan.services:
        names = ", ".join(one.service for one in reports[:10]) or "none"
        raise FleetNotReady(
            f"{len(reports)} services of fleet {scene.fleet} report, and the plan asks for services: "
            f"{plan.services} at least (there: {names}); start them with DEMUR_REGISTRY and the same "
            "DEMUR_REDIS_URL as here, or write services: 0 into the plan, by which the offline gates alone "
            "decide"
        )
    faulty = next((one for one in reports if one.fault is not None), None)
    if faulty is not None:
        raise FleetNotReady(
            f"{faulty.service} of fleet {scene.fleet} has a fault: {faulty.fault}; mend or stop it first"
        )


def _running(state: PromotionState, fleet: str) -> str:
    return (
        f"the promotion {state.id} of {state.newcomer.label} runs in fleet {fleet} (phase {state.phase}, "
        f"begun by {state.started.by}, promoter {state.holder}; `demur promotion status`); wait for its end, "
        "or take it over if its promoter has died: `demur promote --resume`, or end it: "
        "`demur promotion abort`"
    )
