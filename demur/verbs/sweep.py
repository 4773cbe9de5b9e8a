"""The verb `sweep`."""

from __future__ import annotations

from demur.verbs.options import AsJson, Run


def sweep(run: Run, as_json: AsJson = False) -> None:
    """Tabulate coverage and error over the thresholds, on val_select.

    Example: `demur sweep runs/first`

    Writes metrics/threshold_sweep.csv and .png. val_calib is not read, so the certificate stays valid
    however often the sweep runs.
    """
    from rich.console import Console

    from demur.commands.results import sweep_values
    from demur.commands.tables import sweep_table
    from demur.output import write_json
    from trainer.reports.threshold_sweep import sweep as sweep_thresholds

    rows = sweep_thresholds(run)
    if as_json:
        write_json(sweep_values(rows, run))
    else:
        Console().print(sweep_table(rows))
