"""The verb `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from demur.verbs.options import CERTIFICATE_HELP, PREVALENCE_HELP, PROMISE, AsJson
from trainer.choices import CertificateName

TABLE: Final = "With --scores"


def calibrate(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Folder of a finished run; or give --scores.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .parquet or .csv table of scores and labels instead of a run. [default: none]",
        ),
    ] = None,
    certificate: Annotated[
        CertificateName | None,
        typer.Option(
            help=f"{CERTIFICATE_HELP} [default: as in the run; exact for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Largest share of wrong answers among the answered images. [default: as in the run; 0.01 "
            "for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Largest probability that the certificate is wrong; 0.05 gives 95 % confidence. "
            "[default: as in the run; 0.05 for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            help="Share of the images to be answered. [default: as in the run; 0.7 for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    each_answer: Annotated[
        bool | None,
        typer.Option(
            "--each-answer/--all-answers",
            help="Certify alpha for each class that is answered, or for all answers together. "
            "[default: as in the run; all together for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Certify alpha for each value of this metadata column. [default: as in the run; none for "
            "--scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    alphas: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Several risks in the order of testing, separated by commas: `0.01,0.02,0.005`. A run "
            "serves the first. [default: as in the run; none for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    prevalence: Annotated[
        str | None,
        typer.Option(
            metavar="LO:HI",
            help=f"{PREVALENCE_HELP} [default: as in the run; the classes mixed as in the table "
            "for --scores]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    prevalence_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Find that interval in unlabelled images of where the bundle will serve, for example "
            "`folder:october`: exact, at a fifth of delta, for two classes. No promise is made if the images "
            "themselves look otherwise. [default: none]",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the groups of a table; `none` says that every row, or every image of a run, "
            "stands alone. [default: every row on its own, and a question if a column looks like groups]",
            rich_help_panel=TABLE,
        ),
    ] = None,
    label_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column of the labels.", rich_help_panel=TABLE)
    ] = "label",
    score_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of P(label 1); with several classes, repeat the option once per class, in order. "
            "[default: probability, score or prob; or score_0, score_1, ...; or p0, p1, ...]",
            rich_help_panel=TABLE,
        ),
    ] = None,
    confidence_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the confidence that ranks the rows. [default: the margin of the scores]",
            rich_help_panel=TABLE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the certificate to a file that `demur inspect` shows and "
            "`calibration.read_certificates` reads. [default: none]",
            rich_help_panel=TABLE,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Certify a finished run again, or a table of scores and labels from any model.

    Examples: `demur calibrate runs/first --each-answer`

    `demur calibrate --scores scores.csv --group drive`

    `demur calibrate runs/first --prevalence 0.10:0.40`

    A table has one row per image: a column `label`, and one with P(label 1) or one per class. A column
    `content`, `path`, `image_path`, `file`, `filename`, `file_name`, `image_id` or `id` tells its images
    from those of other tables.

    A certificate per class, slice or risk, or for an interval of class shares, costs coverage; the result
    says how much. All certificates on one calibration split share its delta, and a ledger keeps the
    account.
    """
    if (run is None) == (scores is None):
        raise typer.BadParameter("give the folder of a run, or --scores FILE, and not both")
    if out is not None and scores is None:
        raise typer.BadParameter("--out is for --scores; the certificate of a run is RUN/certificate.json")
    from demur.commands.calibrate import PromiseChoice, calibrate_run, calibrate_table

    changes = {"certificate": certificate, "alpha": alpha, "delta": delta, "min_coverage": min_coverage}
    choice = PromiseChoice(each_answer, slices, alphas, prevalence, prevalence_from)
    if run is not None:
        calibrate_run(run, changes, choice, group, as_json=as_json)
    elif scores is not None:
        from trainer.scoring.score_file import ScoreFileColumns

        columns = ScoreFileColumns(label_column, tuple(score_column or ()), confidence_column, group)
        calibrate_table(scores, changes, columns, choice, out, as_json=as_json)
