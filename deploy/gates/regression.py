"""Gates on a shared test set: the newcomer is not less often right, and few of its answers are wrong.

Both bundles decide the same images. Only images of which exactly one is right can tell them apart, which is
McNemar's test; to find no difference proves nothing, so a loss must be ruled out to pass. Both statements are
exact and hold at the plan's level; `docs/gates.md` states how often they err in simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.images.errors import ImageError
from bundle.loader import LoadedBundle
from bundle.system.subprocess_call import Say
from calibration.decision import Decision
from calibration.errors import DemurError
from deploy.errors import GateUndecided
from deploy.gates.compared_rows import ComparedRows, SeenImages, compared_rows
from deploy.gates.labelled import LabelledImages, OpenTestSet
from deploy.gates.outcome import GateResult
from deploy.gates.plan import RegressionGate
from deploy.gates.score import Score
from deploy.gates.served import Served

_SAID_EVERY = 500
"""Images between two signs of life"""


@dataclass(frozen=True, slots=True)
class _Side:
    """A bundle that takes part, and where its classes are among the newcomer's."""

    bundle: LoadedBundle
    places: tuple[int, ...]


def ask_test_set(
    newcomer: Served,
    champion: Served | None,
    gate: RegressionGate,
    open_test_set: OpenTestSet | None,
    *,
    say: Say,
) -> list[GateResult]:
    """The gates `regression` (beside a champion) and `risk`. Raises GateUndecided, and a DemurError for a
    test set that cannot be opened."""
    if open_test_set is None:
        raise GateUndecided("nothing that reads a test set was handed to this promotion; use `demur promote`")
    ours = newcomer.open()
    theirs = None if champion is None else champion.open()
    images = open_test_set(gate)
    classes = ours.manifest.classes
    rows = compared_rows(images, classes)
    sides = [_Side(ours, tuple(range(len(classes))))]
    if theirs is not None:
        if set(theirs.manifest.classes) != set(classes):
            raise GateUndecided(
                f"the newcomer has the classes {', '.join(classes)}, the champion "
                f"{', '.join(theirs.manifest.classes)}: their answers cannot be compared"
            )
        sides.append(_Side(theirs, tuple(classes.index(name) for name in theirs.manifest.classes)))
    score = _score(images, rows, sides, gate, say)
    # Imported here because it loads SciPy, which a promotion without a test set does not need.
    from deploy.gates.regression_results import regression_result, risk_result

    results = [risk_result(score, gate, ours.certificate)]
    return [regression_result(score, gate), *results] if theirs is not None else results


def _score(
    images: LabelledImages, rows: ComparedRows, sides: Sequence[_Side], gate: RegressionGate, say: Say
) -> Score:
    """Decide every image with every side. Raises GateUndecided for images that may not be compared."""
    seen = [
        SeenImages.of(("the newcomer", "the champion")[i], one.bundle.manifest) for i, one in enumerate(sides)
    ]
    if any(one.source for one in seen):
        digest = images.digest()
        for one in seen:
            one.require_other_source(digest, images.name)
    right: list[list[bool]] = []
    answered: list[list[bool]] = []
    faults: list[str] = []
    for place, (row, label) in enumerate(zip(rows.rows.tolist(), rows.labels.tolist(), strict=True)):
        if place % _SAID_EVERY == 0:
            say(f"{place:,} of {len(rows.rows):,} test images decided")
        try:
            image = images.read(row)
            for one in seen:
                one.require_unseen(image, images.paths[row])
            decided = [_decide(one, image) for one in sides]
        except GateUndecided:
            raise
        except (ImageError, DemurError, OSError) as error:
            faults.append(f"{images.paths[row]}: {error}")
            continue
        right.append([answer == label for answer, _ in decided])
        answered.append([is_answer for _, is_answer in decided])
    _require_readable(faults, len(rows.rows), gate, images.name)
    notes = rows.notes + ((f"{len(faults):,} images could not be read, {faults[0]} first",) if faults else ())
    return Score(images.name, np.array(right, dtype=np.bool_), np.array(answered, dtype=np.bool_), notes)


def _decide(side: _Side, image: bytes) -> tuple[int, bool]:
    """(class that the bundle gives if it is forced to answer, whether it answers)"""
    (decision,) = side.bundle.runner.decide([image])
    return side.places[_forced(decision)], decision.decision == "answer"


def _forced(decision: Decision) -> int:
    """The answer, or the most probable class where there is none; -1 never is a label."""
    if decision.label is not None:
        return decision.label
    return int(np.argmax(decision.probabilities))


def _require_readable(faults: Sequence[str], images: int, gate: RegressionGate, name: str) -> None:
    if len(faults) > gate.unreadable * images or len(faults) == images:
        raise GateUndecided(
            f"{len(faults):,} of {images:,} images of the test set {name} cannot be read, and at most "
            f"{100 * gate.unreadable:g} % may be (gates.regression.unreadable); the first is {faults[0]}"
        )
