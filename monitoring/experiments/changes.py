"""Changes of an experiment: what each makes of its definition. No file and no service is touched here.

Every change of who answers what opens a stratum, in which the shares are constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from monitoring.choices import OnMismatch
from monitoring.experiments.dealing import ChangeImpossible, Dealing, RunningExperiment, Segment
from monitoring.experiments.definition import (
    MAX_STRATA,
    METRICS,
    REQUEST,
    Arm,
    Definition,
    Guardrails,
    Metric,
    Note,
    Stratum,
    Withdrawal,
)

PROMOTION_GUARDRAILS: Final = Guardrails(coverage=0.05, risk=0.01, errors=0.01, latency=0.05, level=0.015)
"""Of the canary of a promotion. A newcomer that is as good as the champion is withdrawn in at most 5 % of
promotions: in 1.5 % by all guardrails together, at every look and in every step, and in the rest by *broken*,
which does so in at most 3.5 % within 5,000 audits of the newcomer: with w, H and delta of
`calibration.sequential.EDetector` and n audits, delta (w + (1 - w) n / H)"""


@dataclass(frozen=True, slots=True)
class Design:
    """What an experiment is to be, whoever is in it."""

    name: str
    salt: str
    metrics: tuple[Metric, ...] = METRICS
    guardrails: Guardrails = field(default_factory=Guardrails)
    on_mismatch: OnMismatch = "hold"


@dataclass(frozen=True, slots=True)
class Entrant:
    """A challenger as it enters."""

    arm: Arm
    share: float | None
    """Share of the units, 0 to 1; None: a shadow, which computes and answers nothing"""


def started(
    design: Design, control: Arm, entrants: Sequence[Entrant], note: Note, configured: str
) -> Definition:
    """A new experiment, whose entrants have their shares side by side. `configured`: as in `Definition`.

    Raises ChangeImpossible.
    """
    if not entrants:
        raise ChangeImpossible("there is no challenger to compare with the champion; name one")
    arms = tuple(one.arm for one in entrants)
    dealing = Dealing.of({one.arm.label: one.share for one in entrants if one.share is not None})
    shadows = tuple(one.arm.label for one in entrants if one.share is None)
    return Definition(
        *(design.name, design.salt, control, arms, (_stratum(dealing, note, shadows),), note, configured),
        *(design.metrics, design.guardrails, design.on_mismatch),
    )


def with_share(held: Definition, entrant: Entrant, note: Note) -> Definition:
    """With a challenger, or with another share of one. Raises ChangeImpossible if it was withdrawn, or if
    the points of the share have been another's."""
    label = entrant.arm.label
    if (left := held.withdrawn(label)) is not None:
        raise ChangeImpossible(
            f"it was withdrawn from {held.name} ({left.note.reason}), and does not return to it; "
            "stop the experiment and start another"
        )
    shadows = {*held.strata[-1].shadows} - {label} | ({label} if entrant.share is None else set())
    return _dealt(held.with_arm(entrant.arm), {label: entrant.share or 0.0}, shadows, note)


def withdrawn(held: Definition, arms: Sequence[str], note: Note, cause: str = REQUEST) -> Definition:
    """Without these challengers, by their labels; their units return to the control. `cause`: as in
    `Withdrawal`."""
    for arm in arms:
        held = held.with_withdrawal(Withdrawal(arm, note, cause))
    return _dealt(held, dict.fromkeys(arms, 0.0), {*held.strata[-1].shadows} - {*arms}, note)


def mismatched(held: Definition, note: Note) -> Definition:
    """With every conclusion forbidden, since the first such note."""
    return replace(held, mismatch=held.mismatch or note)


def ended(held: Definition, note: Note) -> Definition:
    """At its end."""
    return replace(held, ended=note)


def running_of(definition: Definition) -> RunningExperiment:
    """The dealing of the present stratum."""
    segments = tuple(Segment(*one) for one in definition.strata[-1].segments)
    return RunningExperiment(definition.name, definition.salt, definition.stratum, Dealing(segments))


def _dealt(held: Definition, shares: Mapping[str, float], shadows: set[str], note: Note) -> Definition:
    """With other shares, in a stratum of its own. Raises ChangeImpossible."""
    if len(held.strata) >= MAX_STRATA and any(shares.values()):
        raise ChangeImpossible(
            f"{held.name} has {len(held.strata)} strata, and no more are kept; start another"
        )
    dealing = running_of(held).dealing
    for label, share in shares.items():
        dealing = dealing.changed(label, share)
    ordered = tuple(arm.label for arm in held.arms if arm.label in shadows)
    return held.with_stratum(_stratum(dealing, note, ordered))


def _stratum(dealing: Dealing, note: Note, shadows: tuple[str, ...]) -> Stratum:
    segments = tuple((one.begin, one.end, one.arm, one.serves) for one in dealing.segments)
    return Stratum(note, dealing.shares(), segments, shadows)
