"""The verb `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
    serve: Annotated[
        bool,
        typer.Option("--serve", help="The settings of `demur serve`, as environment variables, instead."),
    ] = False,
) -> None:
    """Write a commented configuration with every setting and its default.

    Examples: `demur init train.yaml`, then `demur train --config train.yaml --out runs/first`

    `demur init --serve serve.env`, then `demur serve --env-file serve.env`
    """
    from demur.commands.init import serving_file, training_file, write_new

    write_new(file, serving_file() if serve else training_file())
    print(f"written: {file}")
