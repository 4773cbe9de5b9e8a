"""Watch of the running experiment in the parent: what is shown and logged, and who must leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.fleet_counts import FleetCounts
from monitoring.experiments.folder import ExperimentFolder
from monitoring.experiments.guardrails import GuardReading
from monitoring.experiments.view import ExperimentView
from monitoring.experiments.watch import ExperimentWatch
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from monitoring.store.contract import StoreUnavailable
from service.errors import ChangeRefused
from service.lineup.experiments import Experiments
from service.lineup.withdrawals import Withdrawals
from service.settings import NO_STORE, Settings

logger = structlog.get_logger("demur.experiments")


def experiment_watch(
    settings: Settings,
    logs: Sequence[Path],
    experiments: Experiments,
    instruments: ExperimentInstruments,
    stopping: Callable[[], bool],
    *,
    fleet: str | None = None,
) -> ExperimentWatch:
    """The watch over the event logs of a service. `logs`: folders with one for each worker; `stopping`:
    whether its changes must end; `fleet`: name of the fleet whose services count together, if it has one."""
    return ExperimentWatch(
        logs,
        lambda: experiments.running,
        Observer(experiments, instruments, stopping, labels_may_act=settings.labels_may_act),
        label_times(settings),
        shared=None if fleet is None else _shared_counts(settings, fleet),
    )


def _shared_counts(settings: Settings, fleet: str) -> FleetCounts | None:
    """What the services of a fleet count together; None without a store."""
    if settings.redis_url in (None, NO_STORE):
        return None
    try:
        log = ExperimentFolder(settings.data_dir).log_name()
        return FleetCounts(settings.redis_url, fleet, log, timeout=settings.redis_timeout)
    except (OSError, StoreUnavailable) as error:
        logger.error(
            "experiment_not_shared",
            why=str(error),
            note="this service judges every experiment by its own requests alone",
        )
        return None


def label_times(settings: Settings) -> LabelTimes:
    """Within which times of its prediction a label counts."""
    return LabelTimes(settings.prediction_ttl, settings.parked_ttl)


class Observer:
    """Withdraws, shows and logs; used by the watch's thread alone."""

    def __init__(
        self,
        experiments: Experiments,
        instruments: ExperimentInstruments,
        stopping: Callable[[], bool],
        *,
        labels_may_act: bool,
    ) -> None:
        """`labels_may_act`: whether a challenger may leave on account of labels."""
        self._experiments, self._instruments = experiments, instruments
        self._withdrawals = Withdrawals(experiments, instruments, stopping)
        self._stopping, self._labels_may_act = stopping, labels_may_act
        self._said: set[tuple[str, str]] = set()

    def show(self, view: ExperimentView) -> None:
        """Set the gauges, and write the file that the workers show."""
        self._experiments.keep_again()
        self._instruments.show(view)
        if self._experiments.folder is None:
            return
        try:
            self._experiments.folder.keep_view(view.definition.name, view.to_values())
        except OSError as error:
            if self._once(view.definition.name, "view"):
                logger.error("experiment_view_not_kept", experiment=view.definition.name, error=str(error))

    def mismatched(self, view: ExperimentView) -> None:
        """Block every conclusion for good, and withdraw all challengers if that was asked for."""
        definition, ratio = view.definition, view.ratio
        if ratio is None:
            return
        strata = "; ".join(
            f"stratum {one.stratum}: {list(one.units)} units, designed {[round(x, 4) for x in one.designed]}"
            for one in ratio.strata
        )
        reason = f"sample ratio mismatch, e-value {ratio.highest:.3g}: {strata}"
        if self._once(definition.name, "mismatch"):
            logger.error(
                "experiment_sample_ratio_mismatch",
                experiment=definition.name,
                e_value=min(ratio.highest, 1e300),
                arms=list(ratio.arms),
                strata=strata,
                on_mismatch=definition.on_mismatch,
                note="units are missing from an arm, or have the wrong one; nothing is concluded any more",
            )
        try:
            self._experiments.note_mismatch(reason, self._stopping)
            if definition.on_mismatch == "withdraw":
                for arm in definition.strata[-1].shares:
                    self._withdrawals.withdraw(arm, "mismatch", reason, definition.name)
        except ChangeRefused as error:
            logger.warning("experiment_not_changed", experiment=definition.name, why=str(error))

    def beyond(self, reading: GuardReading) -> None:
        """Withdraw a challenger that is beyond a limit."""
        running = self._experiments.running
        if running is None or reading.arm not in running.strata[-1].shares:
            return
        if reading.guard == "risk" and not self._labels_may_act:
            if self._once(running.name, f"{reading.guard} {reading.arm}"):
                note = f"{reading.text} Labels are open, so nothing is done on their account."
                logger.error("experiment_guardrail", experiment=running.name, arm=reading.arm, note=note)
            return
        try:
            cause = f"guardrail {reading.guard}"
            self._withdrawals.withdraw(reading.arm, cause, reading.text, running.name)
        except ChangeRefused as error:
            logger.warning("experiment_not_changed", experiment=running.name, why=str(error))

    def _once(self, experiment: str, what: str) -> bool:
        if (experiment, what) in self._said:
            return False
        self._said.add((experiment, what))
        return True
