"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from bundle.choices import ENGINE_NAMES, EngineName, PrecisionName
from trainer import choices

IMAGES: Final = "Images"
PROMISE: Final = "Promise"
TRAINING: Final = "Training"
"""Panels of a verb's own help"""

SOURCES: Final = (
    "`scenes`, `folder:PATH`, `parquet:PATH`, `hub:OWNER/NAME`, or the path of a folder or of parquet files"
)
"""Forms of SOURCE"""

Source = Annotated[
    str, typer.Option("--data", metavar="SOURCE", help=f"Images: {SOURCES}.", rich_help_panel=IMAGES)
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column that names the group of an image (drive, track, burst). Images of one group are not "
        "independent: splits and certificates are made by group. `folder` and `file_prefix` group by names "
        "of files; `none` says that every image stands alone. [default: every image on its own, and a "
        "question if a column or the names look like groups]",
        rich_help_panel=IMAGES,
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the labels. [default: `label`, if there is one]",
        rich_help_panel=IMAGES,
    ),
]
SplitsFrom = Annotated[
    choices.SplitOrigin | None,
    typer.Option(
        "--splits",
        help="Where the splits come from. `drawn`: demur draws them, by group; `folders`: the folders of "
        "`folder:PATH` are called train, val and test, in any spelling, with the classes inside. "
        "[default: drawn]",
        rich_help_panel=IMAGES,
    ),
]
ImageColumn = Annotated[
    str,
    typer.Option(metavar="COLUMN", help="Column of the images in parquet files.", rich_help_panel=IMAGES),
]
ConfiguredImageColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the images in parquet files. [default: image]",
        rich_help_panel=IMAGES,
    ),
]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
Bundle = Annotated[
    Path, typer.Option("--bundle", metavar="DIR", help="Folder of a bundle, for example `runs/first/bundle`.")
]
BundleFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a bundle.")]

Alpha = Annotated[
    float | None,
    typer.Option(
        help="Largest share of wrong answers among the answered images. [default: 0.01]",
        rich_help_panel=PROMISE,
    ),
]
Delta = Annotated[
    float | None,
    typer.Option(
        help="Largest probability that the certificate is wrong; 0.05 gives 95 % confidence. All "
        "certificates on one calibration split share 0.05. [default: 0.05]",
        rich_help_panel=PROMISE,
    ),
]
MinCoverage = Annotated[
    float | None,
    typer.Option(help="Share of the images to be answered. [default: 0.7]", rich_help_panel=PROMISE),
]
Score = Annotated[
    choices.ScoreChoice | None,
    typer.Option(
        help="Score that ranks the images: of the softmax, the margin between the two best classes, or the "
        "trained gate; `best` takes the one that ranks val_select best. [default: best]",
        rich_help_panel=PROMISE,
    ),
]
CERTIFICATE_HELP: Final = (
    "Method of certification. `exact`: holds with confidence 1 - delta; `look-ahead`: likewise, with more "
    "coverage, if errors never become rarer as the confidence falls; `scrc-i`: likewise, by conformal risk "
    "control, more conservative; `scrc-t`: holds on average over calibration sets only; `none`: no "
    "promise, and no calibration label is read."
)
Certificate = Annotated[
    choices.CertificateName | None,
    typer.Option(
        help=f"{CERTIFICATE_HELP} [default: exact]",
        rich_help_panel=PROMISE,
    ),
]
EachAnswer = Annotated[
    bool | None,
    typer.Option(
        "--each-answer",
        help="Certify alpha for each class that is answered, not only for all answers together; costs "
        "coverage. [default: all answers together]",
        rich_help_panel=PROMISE,
    ),
]
Slices = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Certify alpha for each value of this metadata column; costs coverage. [default: none]",
        rich_help_panel=PROMISE,
    ),
]

PREVALENCE_HELP: Final = (
    "Certify alpha for every share of class 1 between these two, as long as each class looks as it did: "
    "`0.10:0.40`. Of more than two classes one interval per class, in their order, separated by commas."
)
Prevalence = Annotated[
    str | None,
    typer.Option(
        metavar="LO:HI",
        help=f"{PREVALENCE_HELP} Costs coverage. [default: the classes mixed as in the data]",
        rich_help_panel=PROMISE,
    ),
]

Device = Annotated[
    choices.Device | None,
    typer.Option(help="Device of training. [default: the GPU if there is one]", rich_help_panel=TRAINING),
]
Precision = Annotated[
    choices.Precision | None,
    typer.Option(
        help="Precision of the activations in training. [default: bf16 if the hardware has it, else fp32]",
        rich_help_panel=TRAINING,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]
ConfiguredSeed = Annotated[
    int | None, typer.Option(min=0, help="Random seed; the same seed gives the same result. [default: 0]")
]
SplitSeed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Seed of the splits. It stays as it is for every --seed, so that all models are chosen and "
        "certified on the same images. [default: 0]",
        rich_help_panel=IMAGES,
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out images that cannot be used, and record them, instead of stopping.",
        rich_help_panel=IMAGES,
    ),
]
ConfiguredSkipBad = Annotated[
    bool | None,
    typer.Option(
        "--skip-bad",
        help="Leave out images that cannot be used, and record them, instead of stopping.",
        rich_help_panel=IMAGES,
    ),
]

EngineOption = Annotated[
    Literal["auto", EngineName] | None,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help=f"Inference engine: auto, {', '.join(ENGINE_NAMES[:-1])} or {ENGINE_NAMES[-1]}. "
        "[default: auto, an engine that is installed and that the bundle is certified on]",
    ),
]
EnginePrecision = Annotated[
    Literal["auto", PrecisionName] | None,
    typer.Option(
        "--precision",
        help="Precision of inference. [default: auto, one that the bundle is certified on]",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object; everything else goes to standard error."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Stop before anything is computed: open and check the images, split them, and say what the "
        "splits can prove. Writes nothing and charges no delta.",
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder of the run, with the bundle in DIR/bundle; the same folder resumes the run. "
        "[required, unless --dry-run]",
    ),
]


def require_out(out: Path | None, dry_run: bool) -> None:
    """Refuse a run without a folder."""
    if out is None and not dry_run:
        raise typer.BadParameter("give the folder of the run, or --dry-run", param_hint="--out")


Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of the private port. [default: of DEMUR_ADMIN_HOST and DEMUR_ADMIN_PORT]",
        show_default=False,
    ),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The settings of the service, as in `demur serve`; its DEMUR_ADMIN_TOKEN is the token.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Data folder of the service. [default: DEMUR_DATA_DIR, or demur-data]",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Model whose events are meant, a folder in DIR/events. [default: DEMUR_MODEL, or the only one]",
        show_default=False,
    ),
]

FLEET: Final = "Fleet"
"""Panel of a verb's own help"""
RegistryAddress = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="ADDRESS",
        help="The registry: a folder, or s3://BUCKET/PREFIX. [default: DEMUR_REGISTRY]",
        show_default=False,
        rich_help_panel=FLEET,
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Redis or Valkey server in which the services report, or `off` for none. [default: "
        "DEMUR_REDIS_URL, or the embedded store of a service here, in DEMUR_DATA_DIR or demur-data]",
        show_default=False,
        rich_help_panel=FLEET,
    ),
]
FleetName = Annotated[
    str | None,
    typer.Option(
        "--fleet",
        metavar="NAME",
        help="The fleet. [default: of DEMUR_FOLLOW, or the only one in the registry]",
        show_default=False,
        rich_help_panel=FLEET,
    ),
]
FleetEnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="The settings of a service of the fleet, as in `demur serve`; options and variables that are "
        "set override them. [default: none]",
        show_default=False,
        rich_help_panel=FLEET,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who asks for it; kept in the registry. [default: this user]",
        show_default=False,
    ),
]
