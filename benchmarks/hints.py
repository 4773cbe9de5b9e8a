"""How many hints of infeasible certificates come true.

    python benchmarks/hints.py [--hints 200] [--record [FOLDER]]

Each hint of an infeasible certificate names a number of labels, or a larger risk, with its chance. A fresh
split of that size is drawn and certified by the same test; the share that is certified is compared with the
chance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness.figures import markdown
from harness.record import Claim, Recording, add_record_option

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fakes.worlds import World, gaussian, heavy_tails, saturated

from calibration import RiskTarget, certify, plan_thresholds
from calibration.exact.shortfall import LIKELY, Outlook

WORLDS: tuple[Callable[[], World], ...] = (
    lambda: gaussian(0.88),
    lambda: gaussian(0.91),
    lambda: gaussian(0.94),
    heavy_tails,
    saturated,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hints", type=int, default=200)
    add_record_option(parser)
    options = parser.parse_args()
    recording = Recording.begin(options.record)
    rng = np.random.default_rng(0)
    worlds = [world() for world in WORLDS]
    target = RiskTarget()
    came_true: dict[str, list[tuple[float, bool]]] = {"more labels": [], "a larger risk": []}

    def certified(world: World, n: int, at: RiskTarget) -> bool:
        grid = plan_thresholds(*world.draw(rng, 500), n, at)
        return certify(*world.draw(rng, n), grid, at).feasible

    while min(len(found) for found in came_true.values()) < options.hints:
        world = worlds[int(rng.integers(len(worlds)))]
        n = int(rng.choice([250, 400, 600, 1000]))
        confidence, errors = world.draw(rng, n)
        if certify(confidence, errors, None, target).feasible:
            continue
        outlook = Outlook.of(confidence, errors)
        labels, alpha = outlook.labels(target), outlook.risk(target)
        if labels is not None and labels <= 50_000:
            chance = outlook.chance(labels, target)
            came_true["more labels"].append((chance, certified(world, labels, target)))
        if alpha is not None:
            at = RiskTarget(alpha, target.delta)
            came_true["a larger risk"].append((outlook.chance(n, at), certified(world, n, at)))
    lines = [f"Hints of infeasible certificates at 1 %, each with a chance of at least {LIKELY:g}"]
    rows, claims = [], []
    for name, found in came_true.items():
        chances, outcomes = np.array(found[: options.hints]).T
        true, total = round(outcomes.sum()), len(outcomes)
        lines.append(f"{name:14s} {true:4d} of {total} came true, {chances.sum():.0f} expected")
        rows.append([name, str(total), str(true), f"{chances.sum():.0f}"])
        # Three standard errors of the number that comes true, if every chance is right.
        least = chances.sum() - 3.0 * float(np.sqrt((chances * (1.0 - chances)).sum()))
        claims.append(
            Claim(
                f"hints that come true: {name}", f"{true} of {total}", f"at least {least:.0f}", true >= least
            )
        )
    text = "\n".join(lines)
    print(text)
    recording.save(
        "hints",
        "promise",
        "Hints of infeasible certificates",
        about="Each hint names a number of labels, or a larger risk, with its chance (at least "
        f"{LIKELY:g}). A fresh split of that size is drawn and certified by the same test. *expected*: the "
        "sum of the chances that the hints state.",
        claims=claims,
        detail=markdown(["hint", "hints", "came true", "expected"], rows),
        raw=text,
    )


if __name__ == "__main__":
    main()
