"""The verb `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson


def inspect(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE",
            help="Folder of a bundle; or a certificate, as `demur calibrate --out` writes.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the certificates of a bundle, how it decides, and where it comes from; or one certificate file.

    Examples: `demur inspect runs/first/bundle`

    `demur inspect certificate.json`
    """
    from demur.commands.inspect import show_bundle, show_certificates

    (show_certificates if place.is_file() else show_bundle)(place, as_json=as_json)
