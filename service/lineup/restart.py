"""Restart: the line-up of a service that was stopped or killed while an experiment ran."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import structlog

from bundle.manifest import BundleError
from monitoring.experiments.changes import ended, running_of
from monitoring.experiments.definition import AUTOMATIC, Arm, Definition, Note
from monitoring.experiments.folder import ExperimentFolder
from service.lineup.lineup import LineupPlan, label_of
from service.settings import NO_STORE, ChallengerSettings, Settings

logger = structlog.get_logger("demur.experiments")


def plan_at_start(settings: Settings) -> tuple[LineupPlan, Definition | None]:
    """The line-up that a service begins with, and the experiment that goes on in it.

    An experiment whose bundles are not what they were is ended and logged: units that others answer would be
    counted for them.
    """
    plan = _configured(settings)
    folder = ExperimentFolder(settings.data_dir)
    held = folder.running()
    if held is None:
        return plan, None
    fault = _fault(held, plan) if counts_events(settings) else "there is no event log any more"
    if fault is not None:
        logger.error("experiment_ended", experiment=held.name, why=fault)
        with suppress(OSError):  # It is found ended again at the next start.
            folder.write(ended(held, Note(time.time(), AUTOMATIC, fault)))
        return plan, None
    shares = dict(held.strata[-1].shares)
    logger.info("experiment_goes_on", experiment=held.name, stratum=held.stratum, shares=shares)
    return LineupPlan(Path(held.control.folder), _challengers(held), running_of(held)), held


def counts_events(settings: Settings) -> bool:
    """Whether there is an event log, from which alone an experiment is counted."""
    return settings.event_log and settings.redis_url != NO_STORE


def _configured(settings: Settings) -> LineupPlan:
    challengers = (one.model_copy(update={"folder": one.folder.resolve()}) for one in settings.challengers)
    return LineupPlan(settings.bundle.resolve(), tuple(challengers))


def _challengers(held: Definition) -> tuple[ChallengerSettings, ...]:
    now = held.strata[-1]
    serving = (arm for arm in held.arms if arm.label in now.shares or arm.label in now.shadows)
    return tuple(
        ChallengerSettings(folder=Path(arm.folder), share=now.shares.get(arm.label)) for arm in serving
    )


def _fault(held: Definition, plan: LineupPlan) -> str | None:
    """Why an experiment cannot go on."""
    if str(plan.champion) != held.configured:
        return f"the service was started with {plan.champion.name} as its bundle"
    now = held.strata[-1]
    serving = [arm for arm in held.arms if arm.label in now.shares or arm.label in now.shadows]
    faults = (_changed(arm) for arm in (held.control, *serving))
    return next((fault for fault in faults if fault is not None), None)


def _changed(arm: Arm) -> str | None:
    try:
        found = label_of(Path(arm.folder))
    except (BundleError, OSError) as error:
        return f"{arm.label} cannot be read any more: {error}"
    return None if found == arm.label else f"{Path(arm.folder).name} holds {found} instead of {arm.label}"
