"""Time of each step from bytes to decision, and the savings of the cascade that follow from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from time import perf_counter

import numpy as np

from bundle.loader import LoadedBundle
from bundle.runner import CascadeRunner
from calibration.decision import STAGE_NAMES, Decision, decide_stage, to_decision
from demur.profile.figures import Cascade


def time_steps(loaded: LoadedBundle, images: Sequence[bytes], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each step, image after image on one thread, for `seconds`.

    Every stage computes every image.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    runner, point = loaded.runner, loaded.operating_point
    until = perf_counter() + seconds
    for image in cycle(images):
        mark = perf_counter()
        pixels = runner.pixels(image)
        mark = _lap(spent["decode"], mark)
        for index, rule in enumerate(point.stages):
            outputs = runner.score(index, [pixels])
            mark = _lap(spent[f"stage {STAGE_NAMES[index]}"], mark)
            to_decision(decide_stage(outputs, rule), 0, STAGE_NAMES[index])
            mark = _lap(spent["decide"], mark)
        if mark > until:
            break
    return spent


def cascade_savings(
    loaded: LoadedBundle,
    images: Sequence[bytes],
    steps: Mapping[str, Sequence[Sequence[float]]],
    *,
    measured: bool,
) -> Cascade | None:
    """Savings of the cascade against stage B alone; None for one stage.

    `steps`: step -> milliseconds of each run. With `measured`, stage A's share of the answers is that on
    `images`; otherwise it is that of the bundle's own report (None if there is none), because golden cases
    are chosen to be hard.
    """
    if len(loaded.manifest.stages) < 2:
        return None
    macs = [stage.macs for stage in loaded.manifest.stages]
    # A stage that can answer nothing is not computed.
    computed = loaded.operating_point.stages[0].threshold is not None
    if not computed:
        by_a = 0.0
    elif measured:
        by_a = float(
            np.mean([decision.stage == STAGE_NAMES[0] for decision in _decide(loaded.runner, images)])
        )
    else:
        share, coverage = loaded.manifest.stage_a_share, loaded.manifest.evaluation.get("coverage")
        if share is None or coverage is None:
            return None
        by_a = share * coverage
    mean = {step: float(np.mean(np.concatenate(runs))) for step, runs in steps.items() if step != "read"}
    passed_on = 1.0 - by_a
    return Cascade(
        images=len(images) if measured else 0,
        answered_by_a=by_a,
        macs_saved=1.0 - (computed * macs[0] + passed_on * macs[1]) / macs[1] if macs[1] else None,
        mean_ms=mean["decode"]
        + computed * (mean["stage A"] + mean["decide"])
        + passed_on * (mean["stage B"] + mean["decide"]),
        mean_ms_without=mean["decode"] + mean["stage B"] + mean["decide"],
    )


def _lap(into: list[float], mark: float) -> float:
    now = perf_counter()
    into.append(1e3 * (now - mark))
    return now


def _decide(runner: CascadeRunner, images: Sequence[bytes]) -> list[Decision]:
    return [decision for image in images for decision in runner.decide([image])]
