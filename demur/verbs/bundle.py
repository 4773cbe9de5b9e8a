"""The verb `bundle`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bundle.choices import ENGINE_NAMES, PRECISION_NAMES
from demur.verbs.options import IMAGES, SOURCES, AsJson, Run
from trainer.choices import CertificationMethod


def _column_as_in_the_run(content: str) -> Any:
    return typer.Option(
        metavar="COLUMN", help=f"Column of the {content}. [default: as in the run]", rich_help_panel=IMAGES
    )


def bundle(
    run: Run,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINES",
            help=f"Inference engines, separated by commas, of {', '.join(ENGINE_NAMES)}. "
            "[default: onnxruntime-cpu]",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="PRECISIONS",
            help=f"Precisions, separated by commas, of {', '.join(PRECISION_NAMES)}; bf16 needs OpenVINO. "
            "[default: fp32]",
        ),
    ] = None,
    fastest: Annotated[
        bool,
        typer.Option(
            "--fastest",
            help="Instead of --engine and --precision: time all that are installed, and certify the fastest "
            "that agrees with fp32 on val_select.",
        ),
    ] = False,
    certificate: Annotated[
        CertificationMethod | None,
        typer.Option(help="Method of certification. [default: as in the run]"),
    ] = None,
    reissue: Annotated[
        bool,
        typer.Option("--reissue", help="Withdraw the certificates of the run, and certify all of it again."),
    ] = False,
    carry_calibration: Annotated[
        bool,
        typer.Option(
            "--with-calibration-images",
            help="Pack the calibration images into the bundle, so that a machine with another engine can "
            "certify it there, once; this takes one more share of delta.",
        ),
    ] = False,
    least_agreement: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of val_select that must get the same label as on fp32; with less, the engine and "
            "precision are left out.",
        ),
    ] = 0.98,
    sbom: Annotated[
        bool,
        typer.Option(
            "--sbom",
            help="Add sbom.cdx.json: the installed packages that made the bundle, in CycloneDX.",
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help=f"Images of the run: {SOURCES}. [default: as in the run]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    group: Annotated[str | None, _column_as_in_the_run("groups")] = None,
    label_column: Annotated[str | None, _column_as_in_the_run("labels")] = None,
    image_column: Annotated[str | None, _column_as_in_the_run("images in parquet files")] = None,
    as_json: AsJson = False,
) -> None:
    """Certify a finished run on further engines and precisions, and write its bundle again.

    Example: `demur bundle runs/first --engine onnxruntime-cpu,openvino --precision fp32,int8 --reissue`

    `demur bundle runs/first --fastest --reissue` certifies the one precision that is fastest on this machine.

    Every engine gets scores and a certificate of its own at every precision that it supports. All of them
    share the run's delta, so each is certified at a part of it and answers somewhat less; the result says
    how much. ONNX Runtime at fp32 is always among them. The service takes the fastest one that it has.

    The bundle that is written is another one: sign it again if the earlier one was signed (`demur sign`).

    A run with a certificate has spent its delta: train with `--certificate none` and certify here with
    `--certificate exact`, or withdraw with `--reissue`.
    """
    from bundle.engines.contract import DEFAULT_ENGINE, DEFAULT_PRECISION
    from demur.commands.bundle import bundle_run, engine_keys
    from trainer.bundling.engines import EngineRequest
    from trainer.data.config import DataOverrides
    from trainer.errors import RunError

    if fastest and (engine or precision):
        raise RunError("--fastest chooses engine and precision itself; leave --engine and --precision out")
    request = EngineRequest(
        tuple(engine_keys(engine or DEFAULT_ENGINE, precision or DEFAULT_PRECISION)),
        data=DataOverrides(source, group, label_column, image_column),
        changes={"certificate": certificate},
        least_agreement=least_agreement,
        fastest=fastest,
        reissue=reissue,
        carry_calibration=carry_calibration,
        sbom=sbom,
    )
    bundle_run(run, request, as_json=as_json)
