"""The verb `sweep`."""

from __future__ import annotations

from demur.verbs.options import Run


def sweep(run: Run) -> None:
    """Tabulate coverage and error over the thresholds, on val_select.

    Example: `demur sweep runs/first`

    Writes metrics/threshold_sweep.csv and .png. val_calib is not read, so the certificate stays valid
    however often the sweep runs.
    """
    from rich.console import Console

    from demur.commands.tables import sweep_table
    from trainer.reports.threshold_sweep import sweep as sweep_thresholds

    Console().print(sweep_table(sweep_thresholds(run)))
