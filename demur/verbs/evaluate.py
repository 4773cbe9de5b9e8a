"""The verb `evaluate`."""

from __future__ import annotations

from demur.verbs.options import AsJson, Run


def evaluate(run: Run, as_json: AsJson = False) -> None:
    """Report a finished run on val_test: selective metrics with 95 % intervals, and pictures.

    Example: `demur evaluate runs/first`

    Writes metrics_selective.csv, risk_coverage_curve.png, augrc_distribution.png and
    calibration_curve.png to the run's folder metrics/.
    """
    from rich.console import Console

    from demur.commands.results import evaluation_values
    from demur.commands.tables import report_table
    from demur.output import write_json
    from trainer.bundling.rerun import evaluate_run

    report, policy = evaluate_run(run)
    if as_json:
        write_json(evaluation_values(report, policy, run))
        return
    print(policy.certificate.sentence())
    Console().print(report_table(report))
    print(f"pictures and figures: {run / 'metrics'}")
