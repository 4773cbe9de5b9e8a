"""`--dry-run` of `demur train` and `demur wrap`: the plan of a run on the terminal, or as JSON."""

from __future__ import annotations

from collections.abc import Callable

from demur.output import run_console, write_json
from trainer.reports.training_plan import TrainingPlan
from trainer.run.console import RunConsole


def report_plan(plan: Callable[[RunConsole], TrainingPlan], *, as_json: bool) -> None:
    """Make the plan and report it; with `as_json` it goes to standard output as JSON, all else to standard
    error. Raises as `plan` does."""
    found = plan(run_console(as_json))
    if as_json:
        write_json(found.to_dict())
