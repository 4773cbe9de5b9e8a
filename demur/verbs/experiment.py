"""The verb `experiment`, with verbs that plan, test and report experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, Model
from monitoring.choices import ExperimentMetric

experiment = typer.Typer(
    name="experiment",
    no_args_is_help=True,
    help="Find out which of several bundles is better, from a share of the units that each of them gets.",
)

DataDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Data folder of the service; again for each service that takes part. [default: "
        "DEMUR_DATA_DIR, or demur-data]",
        show_default=False,
    ),
]


@experiment.command()
def power(
    difference: Annotated[
        float | None,
        typer.Option(
            help="Size of the difference that must be found, such as 0.02. [default: the smallest one that "
            "matters, by metric]",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[ExperimentMetric, typer.Option(help="Metric in which it must be found.")] = "accuracy",
    share: Annotated[float, typer.Option(help="Share of the units that the challenger gets.")] = 0.5,
    chance: Annotated[
        float, typer.Option("--power", help="Chance that the difference is concluded by then.")
    ] = 0.9,
    per_day: Annotated[
        float | None,
        typer.Option(
            metavar="UNITS",
            help="New units a day, instead of those in the event log. A unit is what keeps its arm: a "
            "camera, a user, or the request if it names none.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="The metric of the control, such as 0.9; with --per-day, for metrics that are shares.",
            show_default=False,
        ),
    ] = None,
    labelled: Annotated[
        float, typer.Option(help="Share of the units that count: with a label, or for risk with an audit.")
    ] = 1.0,
    data_dir: DataDirs = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Say how many days an experiment takes, read once at its end or at every step.

    Example: `demur experiment power --difference 0.02 --share 0.2`

    Traffic, labels and how much the requests of a unit are alike are read from the event log. Without a log
    name them: `demur experiment power --per-day 2000 --rate 0.9 --labelled 0.3`
    """
    from demur.commands.experiment_power import power_lines, read_power
    from demur.output import write_json
    from monitoring.experiments.power import Asked, power_values

    asked = Asked(metric, difference, share, chance)
    found = read_power(asked, (per_day, rate, labelled), (data_dir or [], model))
    if as_json:
        write_json(power_values(found))
        return
    for line in power_lines(found):
        print(line)


@experiment.command("self-test")
def self_test(
    share: Annotated[
        float, typer.Option(help="Share of the units that the pretended challenger gets.")
    ] = 0.5,
    deals: Annotated[int, typer.Option(min=10, max=100_000, help="Number of deals.")] = 100,
    looks: Annotated[int, typer.Option(min=1, max=200, help="Reads of each deal.")] = 20,
    data_dir: DataDirs = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Check on the service's own log that equal arms are not told apart.

    Example: `demur experiment self-test --deals 500`

    The units of the event log are dealt to two arms again and again, each time by another salt, though one
    bundle has answered them all. At most 5 % of the deals may end in a conclusion, though each is read many
    times, and at most 0.1 % in a mismatch of the sample ratio. The exit code is 1 if there are more.
    """
    from demur.commands.experiment import data_folders, log_readers
    from demur.commands.experiment_self_test import self_test_lines
    from demur.output import write_json
    from monitoring.experiments.self_test import SelfTestTerms, run_self_test, self_test_values
    from service.lineup.pretended_deals import pretended_deals

    readers = log_readers(data_folders(data_dir or []), model)
    found = run_self_test(readers, SelfTestTerms(share, deals, looks), pretended_deals)
    if as_json:
        write_json(self_test_values(found))
    else:
        for line in self_test_lines(found):
            print(line)
    if not found.passed:
        raise typer.Exit(1)


@experiment.command()
def report(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of the experiment. [default: the one that runs, or the latest]", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the page and its pictures.")
    ] = Path("experiment-report"),
    data_dir: DataDirs = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Report which arm is better, in what and how surely, as a page with pictures.

    Example: `demur experiment report --out experiment-report`

    It is read from the event logs, also while the experiment runs. The conclusion comes first; then each
    difference with its interval, once for reading at every step and once for a single look at a moment that
    was chosen before; the sample ratio; whether the labels of the arms are comparable; and what is still
    needed.
    """
    from demur.commands.experiment_reading import read_experiment
    from demur.commands.experiment_report import headlines, report_values, write_report
    from demur.output import write_json

    found = read_experiment(name, data_dir or [], model)
    page, pictures = write_report(found, out)
    if as_json:
        write_json(report_values(found, pictures))
        return
    for line in headlines(found):
        print(line)
    print(f"\nReport: {page}; pictures: {len(pictures)}")
