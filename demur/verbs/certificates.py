"""Verbs on a finished run, or on somebody else's model: sweep, gate, calibrate, evaluate, wrap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from demur.verbs.options import Alpha, Delta, Group, ImageColumn, LabelColumn, Run, Seed, Source

PANEL = "Promises"
MinCoverage = Annotated[float | None, typer.Option(help="Share that should be answered. [default: 0.7]")]


def register(app: typer.Typer) -> None:
    for verb in (sweep, gate, calibrate, evaluate, wrap):
        app.command(rich_help_panel=PANEL)(verb)


def sweep(run: Run) -> None:
    """What each threshold would answer, and how often wrongly; reads val_select only.

    Leaves metrics/threshold_sweep.csv and .png. The promise on val_calib stays untouched, however
    often this is run.
    """
    from rich.console import Console

    from demur.tables import sweep_table
    from trainer.reports.threshold_sweep import sweep as sweep_thresholds

    Console().print(sweep_table(sweep_thresholds(run)))


def gate(
    run: Run,
    score: Annotated[
        Literal["softmax", "margin", "gate", "best"] | None,
        typer.Option(help="What ranks the images; `best` compares all by cross-fitting."),
    ] = None,
) -> None:
    """Fit the gate and the temperature on val_select, and compare the scores that could rank the images.

    Leaves gateparams.json and metrics/gate_training.csv. The bundle keeps its policy until
    `demur calibrate` proves a new one.
    """
    from trainer.bundling.rerun import refit_gate

    for sentence in refit_gate(run, score).sentences():
        typer.echo(sentence)


def calibrate(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a finished run.")] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .parquet or .csv of your own scores instead of a run."),
    ] = None,
    certificate: Annotated[
        Literal["exact", "scrc-i", "scrc-t", "none"] | None,
        typer.Option(help="exact: with confidence; scrc-i: likewise, very conservative; scrc-t: on average."),
    ] = None,
    alpha: Alpha = None,
    delta: Delta = None,
    min_coverage: MinCoverage = None,
    group: Annotated[str | None, typer.Option(help="With --scores: column of the groups.")] = None,
    label_column: Annotated[str, typer.Option(help="With --scores: column of the labels.")] = "label",
    score_column: Annotated[
        list[str] | None,
        typer.Option(help="With --scores: column of P(label 1), or once a class, in order."),
    ] = None,
    confidence_column: Annotated[
        str | None, typer.Option(help="With --scores: column that ranks the rows, if not the scores.")
    ] = None,
    each_answer: Annotated[
        bool | None,
        typer.Option(
            "--each-answer/--all-answers",
            help="Promise alpha for each answer by itself, or over all together again. [default: as it was]",
        ),
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Promise alpha for each value of this metadata column."),
    ] = None,
    alphas: Annotated[
        str | None,
        typer.Option(help="Several risks at once, in this order: `0.01,0.02,0.005`; a run serves the first."),
    ] = None,
) -> None:
    """Prove the promise: again on a finished run, or on a table of anybody's scores.

    `demur calibrate runs/first --each-answer` · `demur calibrate --scores scores.csv --group drive`.
    A promise for each answer, slice or risk costs coverage, and says how much. Everything proven on one
    calibration split shares one delta; the ledger keeps account.
    """
    if (run is None) == (scores is None):
        raise typer.BadParameter("give the folder of a run, or --scores FILE, and not both")
    from demur.promises import OVER_ALL_ANSWERS, Wanted, tell_promise

    changes = {"certificate": certificate, "alpha": alpha, "delta": delta, "min_coverage": min_coverage}
    wanted = Wanted(bool(each_answer), slices, alphas)
    if scores is None:
        from trainer.bundling.rerun import recalibrate

        back = OVER_ALL_ANSWERS if each_answer is False else {} if alpha is None else {"alphas": ()}
        for line in recalibrate(cast(Path, run), {**changes, **back, **wanted.changes()}).summary:
            typer.echo(line)
        return
    from trainer.run.promise import PromiseConfig
    from trainer.scoring.score_file import ScoreFileColumns

    columns = ScoreFileColumns(label_column, tuple(score_column or ()), confidence_column, group)
    for line in tell_promise(scores, PromiseConfig().changed(changes), columns, wanted):
        warning = line.startswith("WARNING")
        typer.secho(line, fg="yellow" if warning else None, bold=warning, err=warning)


def evaluate(run: Run) -> None:
    """Report a finished run on val_test: selective metrics with 95 % intervals, and the pictures.

    Leaves metrics/metrics_selective.csv, risk_coverage_curve.png, augrc_distribution.png and
    calibration_curve.png.
    """
    from rich.console import Console

    from demur.tables import report_table
    from trainer.bundling.rerun import evaluate_run

    report, policy = evaluate_run(run)
    typer.echo(policy.certificate.sentence())
    Console().print(report_table(report))
    typer.echo(f"pictures and figures: {run / 'metrics'}")


def wrap(
    model: Annotated[Path, typer.Option(metavar="FILE.onnx", help="The classifier.")],
    source: Source,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; the bundle lies in it.")],
    fast: Annotated[
        Path | None, typer.Option(metavar="FILE.onnx", help="A cheaper classifier that is asked first.")
    ] = None,
    group: Group = None,
    label_column: LabelColumn = None,
    image_column: ImageColumn = "image",
    class_names: Annotated[
        str | None, typer.Option(help="Names in the order of the model's outputs: `no,yes`.")
    ] = None,
    normalisation: Annotated[
        Literal["imagenet", "minus-one-one", "zero-one", "bytes"],
        typer.Option(help="What the model expects of its pixels."),
    ] = "imagenet",
    resize: Annotated[
        Literal["stretch", "crop"], typer.Option(help="How an image becomes the model's size.")
    ] = "stretch",
    output: Annotated[
        Literal["logits", "probabilities", "binary_logit", "binary_probability"] | None,
        typer.Option(help="What the model's output is; found out by default."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, help="Pixels a side, where the model does not say.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "wrapped",
    alpha: Alpha = None,
    delta: Delta = None,
    min_coverage: MinCoverage = None,
    each_answer: Annotated[
        bool | None, typer.Option("--each-answer", help="Promise alpha for each answer by itself.")
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Promise alpha for each value of this metadata column."),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without unusable images.")] = False,
    seed: Seed = 0,
) -> None:
    """Certify somebody's ONNX classifier on labelled images and write a bundle that serves; no training.

    The images must be ones that the model never saw. Example:
    `demur wrap --model strong.onnx --fast small.onnx --data folder:labelled --out runs/wrapped`.
    """
    from trainer.bundling.wrap import ModelInput
    from trainer.bundling.wrap import wrap as certify_model
    from trainer.data.config import DataConfig
    from trainer.data.source import open_source
    from trainer.run.console import RunConsole
    from trainer.run.promise import PromiseConfig
    from trainer.scenes import SceneOptions

    data = DataConfig(
        source=source,
        group=group,
        label_column=label_column,
        image_column=image_column,
        class_names=tuple(part.strip() for part in class_names.split(",")) if class_names else (),
        skip_bad=skip_bad,
        scenes=SceneOptions(),
    )
    images = open_source(
        data.source,
        group=data.group,
        label_column=data.label_column,
        image_column=data.image_column,
        class_names=data.class_names,
        scenes=data.scenes,
    )
    size = None if image_size is None else (image_size, image_size)
    models = [ModelInput(path, size, output, normalisation, resize) for path in (model, fast) if path]
    promise = PromiseConfig().changed(
        {
            "alpha": alpha,
            "delta": delta,
            "min_coverage": min_coverage,
            "each_answer": each_answer,
            "slices": slices,
            "seed": seed,
        }
    )
    certify_model(
        images,
        models[0],
        out,
        RunConsole(),
        fast=models[1] if fast else None,
        promise=promise,
        name=name,
        data=data.model_dump(mode="json"),
        skip_bad=skip_bad,
        seed=seed,
    )
