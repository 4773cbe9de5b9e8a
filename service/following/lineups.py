"""Line-ups of a record: from digests to the folders of this service, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundle.registry.changes import with_lineup
from bundle.registry.generation import Challenger, Change, Generation, Ref
from monitoring.experiments.changes import running_of
from monitoring.experiments.definition import Arm, Definition
from service.lineup.lineup import LineupPlan, label_of
from service.settings import ChallengerSettings

_DIGITS = 8
"""Of a digest, in the name of a challenger"""


def plan_of(generation: Generation, bundles: Path, kept: Iterable[Path] = ()) -> LineupPlan:
    """What a record with a champion lets serve. `bundles`: folder of the pulled bundles; `kept`: folders to
    have open besides. Raises DefinitionUnreadable."""
    assert generation.champion is not None  # noqa: S101 - a record without one is never served
    champion = bundles / generation.champion.digest
    challengers = tuple(
        ChallengerSettings(folder=bundles / one.bundle.digest, share=one.share)
        for one in generation.challengers
        if one.bundle.digest != generation.champion.digest
    )
    definition = definition_of(generation, bundles)
    running = None if definition is None else running_of(definition)
    serving = {champion, *(one.folder for one in challengers)}
    return LineupPlan(
        champion, challengers, running, tuple(one for one in dict.fromkeys(kept) if one not in serving)
    )


def definition_of(generation: Generation, bundles: Path) -> Definition | None:
    """The running experiment of a record, with the folders of this service. Raises DefinitionUnreadable."""
    if generation.experiment is None:
        return None
    held = Definition.from_values(generation.experiment)
    if not held.running:
        return None
    labels = {one.label: one.digest for one in _named(generation)}

    def here(arm: Arm) -> Arm:
        return replace(arm, folder=str(bundles / labels.get(arm.label, arm.folder or "unknown")))

    champion = generation.champion
    return replace(
        held,
        control=here(held.control),
        arms=tuple(map(here, held.arms)),
        configured=str(bundles / champion.digest) if champion is not None else held.configured,
    )


def recorded(now: Generation, plan: LineupPlan, experiment: Definition | None, change: Change) -> Generation:
    """The record after `now` in which the challengers and the experiment of `plan` serve.

    Raises BundleError if a challenger cannot be read.
    """
    names = {one.bundle.digest: one.name for one in now.challengers}
    challengers = tuple(
        Challenger(_name(one.folder, names), Ref(one.folder.name, label_of(one.folder)), one.share)
        for one in plan.challengers
    )
    return with_lineup(now, challengers, None if experiment is None else _shared(experiment), change)


def same_lineup(one: Generation, other: Generation) -> bool:
    """Whether two records let the same serve; only the promotion, or its preparation, may differ."""
    return (one.champion, one.challengers, one.experiment) == (
        other.champion,
        other.challengers,
        other.experiment,
    )


def serving_refs(generation: Generation) -> list[Ref]:
    """The bundles without which a record cannot be served, the champion first."""
    beside = (one.bundle for one in generation.challengers)
    champion = () if generation.champion is None else (generation.champion,)
    return list(dict.fromkeys((*champion, *beside)))


def _named(generation: Generation) -> Iterable[Ref]:
    return generation.bundles()


def _name(folder: Path, names: Mapping[str, str]) -> str:
    """Name of a challenger: the one that the record has for it, or one of its bundle."""
    digest = folder.name
    return names.get(digest) or f"{label_of(folder).partition(':')[0][:50]}-{digest[:_DIGITS]}"


def _shared(experiment: Definition) -> Mapping[str, Any]:
    """The definition with digests in the place of this service's folders."""

    def everywhere(arm: Arm) -> Arm:
        return replace(arm, folder=Path(arm.folder).name)

    shared = replace(
        experiment,
        control=everywhere(experiment.control),
        arms=tuple(map(everywhere, experiment.arms)),
        configured=Path(experiment.configured).name,
    )
    # As it is read back, so that two records of one experiment are equal.
    values: Mapping[str, Any] = json.loads(json.dumps(shared.to_values()))
    return values
