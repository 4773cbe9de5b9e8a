"""Promoter: begins a promotion, or takes over one whose promoter has died, and leads it to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from secrets import token_hex
from time import gmtime, strftime

from bundle.registry.generation import Change, Generation, PromotionState, Ref
from bundle.registry.promotions import running
from deploy.errors import NoPromotion, PromoterAlive, PromotionRefused
from deploy.gates.outcome import GateResult
from deploy.promotion.beginning import require_free, require_ready
from deploy.promotion.events import Outcome, Teller
from deploy.promotion.hold import Hold
from deploy.promotion.lease import new_holder, sign_of_life, wait_for_silence
from deploy.promotion.offline_step import offline_results
from deploy.promotion.plan import Plan
from deploy.promotion.plan_file import plan_from_record
from deploy.promotion.reasons import one_line
from deploy.promotion.records import begun, is_first, stated
from deploy.promotion.run import PromotionRun
from deploy.promotion.scene import Scene
from deploy.promotion.steps import Step, steps_of


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it, and why."""

    by: str
    reason: str


def promote(scene: Scene, plan: Plan, newcomer: Ref, order: Order) -> Outcome:
    """Promote `newcomer`, a bundle of the registry, by `plan`.

    Raises a PromotionRefused if it cannot begin, and then nothing is changed; of two that begin at the same
    moment one is told that the other runs. Raises LeaseLost if another promoter has taken over, and a
    RegistryError or StoreUnavailable if the fleet cannot be seen.
    """
    scene.registry.bundle(newcomer.digest)
    newest = scene.log.newest()
    require_free(newest, newcomer, scene.fleet)
    require_ready(scene, newest, plan)
    at = scene.clock()
    change = Change(at, order.by, one_line(order.reason))
    name = f"{strftime('%Y%m%d-%H%M%S', gmtime(at))}-{token_hex(3)}"
    state = PromotionState(*(name, newcomer, "gates", 0, 1, new_holder(), plan.to_values(), change), since=at)

    def build(now: Generation | None) -> Generation:
        require_free(now, newcomer, scene.fleet)
        if (now is None or now.champion is None) != (newest is None or newest.champion is None):
            raise PromotionRefused(
                f"fleet {scene.fleet} has changed while the promotion began: {now and now.change.reason}; "
                "promote again"
            )
        reason = one_line(f"promotion {name} of {newcomer.label} begins: {order.reason}")
        return begun(now, state, Change(at, order.by, reason, name))

    now = scene.log.change(build)
    return PromotionRun(scene, plan, _steps(scene, plan, now), Hold(scene, now)).run()


def rehearse(scene: Scene, plan: Plan, newcomer: Ref) -> tuple[tuple[GateResult, ...], str | None]:
    """(results, fault) of the offline gates; nothing is written. Raises as `promote` does."""
    scene.registry.bundle(newcomer.digest)
    newest = scene.log.newest()
    require_free(newest, newcomer, scene.fleet)
    require_ready(scene, newest, plan)
    teller, step = Teller(scene.on, scene.clock), Step("gates", 0, (), None)
    bundles = (newcomer, None if newest is None else newest.champion)
    return offline_results(
        *(scene.gates, scene.registry, plan.gates, bundles),
        lambda result: teller.result(step, result),
        lambda: False,
    )


def resume(scene: Scene, order: Order) -> Outcome:
    """Go on with the promotion whose promoter has died, from where its record is.

    Waits for as long as a lease lasts. Raises NoPromotion, PromoterAlive, PlanRefused for a plan of another
    version, and as `promote` does.
    """
    found = running(scene.log.newest())
    if found is None:
        raise NoPromotion(
            f"no promotion runs in fleet {scene.fleet} that could be gone on with; begin one with `demur "
            "promote BUNDLE`"
        )
    plan = plan_from_record(found.plan)
    location, term = scene.registry.location, found.term
    wait_for_silence(lambda: sign_of_life(location, scene.fleet, term), plan.lease, scene.steady, scene.sleep)
    now = scene.log.change(lambda now: _taken_over(scene, now, found, order))
    return PromotionRun(scene, plan, _steps(scene, plan, now), Hold(scene, now)).run()


def _taken_over(scene: Scene, now: Generation | None, found: PromotionState, order: Order) -> Generation:
    state = running(now)
    if now is None or state is None or state.id != found.id:
        raise NoPromotion(f"the promotion {found.id} has ended meanwhile; there is nothing to go on with")
    if state.term != found.term:
        raise PromoterAlive(f"{state.holder} has taken over the promotion {found.id} at the same moment")
    taken = replace(state, term=state.term + 1, holder=new_holder())
    reason = one_line(f"promotion {state.id}: taken over in phase {state.phase}: {order.reason}")
    return stated(now, taken, Change(scene.clock(), order.by, reason, state.id))


def _steps(scene: Scene, plan: Plan, now: Generation) -> tuple[Step, ...]:
    first = is_first(now)
    return steps_of(plan, scene.gates.names(plan.gates, first=first), first=first)
