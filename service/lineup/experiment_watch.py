"""Watch of the running experiment in the parent: what is shown and logged, and who must leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import AUTOMATIC
from monitoring.experiments.guardrails import GuardReading
from monitoring.experiments.view import ExperimentView
from monitoring.experiments.watch import ExperimentWatch
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from service.errors import ChangeRefused
from service.lineup.experiments import Asked, Experiments
from service.settings import Settings

logger = structlog.get_logger("demur.experiments")


def experiment_watch(
    settings: Settings, logs: Sequence[Path], experiments: Experiments, stopping: Callable[[], bool]
) -> ExperimentWatch:
    """The watch over the event logs of a service. `logs`: folders with one for each worker; `stopping`:
    whether its changes must end."""
    return ExperimentWatch(
        logs,
        lambda: experiments.running,
        Observer(experiments, ExperimentInstruments(), stopping, labels_may_act=settings.labels_may_act),
        label_times(settings),
    )


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
                    self._withdraw(definition.name, arm, "mismatch", reason)
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
            self._withdraw(running.name, reading.arm, f"guardrail {reading.guard}", reading.text)
        except ChangeRefused as error:
            logger.warning("experiment_not_changed", experiment=running.name, why=str(error))

    def _withdraw(self, experiment: str, arm: str, cause: str, reason: str) -> None:
        running = self._experiments.running
        folders = [] if running is None else [one.folder for one in running.arms if one.label == arm]
        asked = Asked(AUTOMATIC, reason, experiment, cause)
        for folder in folders:
            try:
                self._experiments.withdraw(Path(folder), self._stopping, asked)
            except KeyError:
                return  # a person was faster
            self._instruments.withdrawals.labels(experiment, cause).inc()
            logger.error("experiment_arm_withdrawn", experiment=experiment, arm=arm, cause=cause, why=reason)

    def _once(self, experiment: str, what: str) -> bool:
        if (experiment, what) in self._said:
            return False
        self._said.add((experiment, what))
        return True
