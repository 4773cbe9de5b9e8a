"""`demur promote`: the plan, the question, the promotion, and what is said while it runs and at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.prompt import Confirm

from bundle.registry.errors import BundleNotFound, RegistryError
from bundle.registry.generation import Ref
from bundle.registry.promotions import running
from demur.commands.fleet import named
from demur.commands.fleet_place import FleetPlace
from demur.commands.fleet_scene import opened_scene
from demur.commands.promotion_plan_text import plan_lines
from demur.commands.promotion_progress import Progress
from demur.errors import InterfaceError
from demur.output import printable, write_json
from deploy.promotion.events import Outcome
from deploy.promotion.plan import Plan
from deploy.promotion.plan_file import read_plan
from deploy.promotion.promoter import Order, promote, rehearse, resume
from deploy.promotion.scene import Scene

ROLLED_BACK: Final = 3
"""Exit code"""


class NotAsked(InterfaceError):
    """Nobody has said yes to a promotion."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A promotion as it was asked for on the command line."""

    bundle: str | None
    """None: the one that runs goes on"""
    plan: Path | None
    by: str
    reason: str
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


def promote_and_tell(place: FleetPlace, asked: Asked) -> bool:
    """Promote, and print what happens; whether the bundle is promoted, or with a dry run whether every gate
    passed. Raises PlanRefused, PromotionRefused, NotAsked, and a RegistryError."""
    console = Console(stderr=asked.as_json)
    plan = read_plan(asked.plan)
    order = Order(asked.by, asked.reason)
    with Progress(console) as progress:
        if asked.bundle is None:
            with opened_scene(place, progress) as scene:
                return _ended(_led(scene, lambda: resume(scene, order)), asked)
        newcomer, fleet = _newcomer(place, asked, console)
        with opened_scene(place, progress, fleet) as scene:
            _show(scene, plan, newcomer, console)
            if asked.dry_run:
                return _rehearsed(scene, plan, newcomer, asked)
            if not asked.yes:
                _ask(newcomer, fleet)
            return _ended(_led(scene, lambda: promote(scene, plan, newcomer, order)), asked)


def _newcomer(place: FleetPlace, asked: Asked, console: Console) -> tuple[Ref, str]:
    """The bundle and the name of its fleet; a folder is pushed first. Raises a BundleError and a
    RegistryError."""
    bundle = asked.bundle or ""
    folder = Path(bundle)
    if folder.is_dir():
        console.print(f"Pushing {printable(str(folder))} ...", markup=False, highlight=False, soft_wrap=True)
        ref = place.registry.push(folder, asked.by)
    elif _is_path(bundle):
        raise BundleNotFound(
            f"there is no folder {bundle[:200]!r} to push; name the folder of a bundle, or what the registry "
            "calls one (`demur registry list`)"
        )
    else:
        try:
            ref = place.registry.resolve(bundle, place.fleet)
        except BundleNotFound as error:
            raise type(error)(f"{error}; and there is no folder {bundle[:200]!r} to push") from None
    return ref, _fleet_of(place, ref)


def _is_path(text: str) -> bool:
    """Whether a text can only be meant as a path: `FLEET/ALIAS` is not."""
    return text.startswith(("/", ".", "~")) or text.count("/") > 1


def _fleet_of(place: FleetPlace, newcomer: Ref) -> str:
    """The fleet that was named, or the only one, or that of the bundle's own name."""
    if place.fleet is not None:
        return place.fleet
    fleets, name = place.registry.fleets(), newcomer.label.rpartition(":")[0]
    return name if not fleets or name in fleets else place.registry.only_fleet()


def _show(scene: Scene, plan: Plan, newcomer: Ref, console: Console) -> None:
    now = scene.log.newest()
    champion = None if now is None else now.champion
    instead = "" if champion is None else f" in the place of {named(asdict(champion))}"
    lines = (
        f"{named(asdict(newcomer))} becomes the champion of {scene.fleet} in "
        f"{scene.registry.address}{instead}:",
        *plan_lines(plan, first=champion is None),
    )
    for line in lines:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _ask(newcomer: Ref, fleet: str) -> None:
    """Raises NotAsked unless a person at the terminal says yes."""
    if not sys.stdin.isatty():
        raise NotAsked(
            "standard input is no terminal, so nobody can say yes; give --yes, or --dry-run to see what the "
            "gates say"
        )
    question = f"Promote {newcomer.label} in fleet {fleet}?"
    if not Confirm.ask(question, console=Console(stderr=True), default=False):
        raise NotAsked("nothing was changed")


def _led(scene: Scene, work: Callable[[], Outcome]) -> Outcome:
    """The outcome; if this is interrupted, it is said what becomes of the promotion."""
    try:
        return work()
    except KeyboardInterrupt:
        with suppress(RegistryError):
            state = running(scene.log.newest())
            if state is not None:
                print(
                    f"The promotion {state.id} stands in the registry as it is, in phase {state.phase}, and "
                    "the services go on with that. Let it go on with `demur promote --resume`, or end it "
                    "with `demur promotion abort --reason WHY`.",
                    file=sys.stderr,
                )
        raise


def _rehearsed(scene: Scene, plan: Plan, newcomer: Ref, asked: Asked) -> bool:
    results, fault = rehearse(scene, plan, newcomer)
    passed = fault is None and all(one.outcome == "passed" for one in results)
    if asked.as_json:
        values = [one.to_values() for one in results]
        write_json({"fleet": scene.fleet, "passed": passed, "fault": fault, "results": values})
    elif fault is not None:
        print(printable(fault))
    else:
        print("Every gate has passed." if passed else "Not every gate has passed; it would be rolled back.")
    return passed


def _ended(outcome: Outcome, asked: Asked) -> bool:
    if asked.as_json:
        write_json(asdict(outcome))
    return outcome.phase == "promoted"
