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
    promotion: Annotated[
        bool,
        typer.Option(
            "--promotion", help="The plan of `demur promote`, with its gates, steps and limits, instead."
        ),
    ] = False,
) -> None:
    """Write a commented configuration with every setting and its default.

    Examples: `demur init train.yaml`, then `demur train --config train.yaml --out runs/first`

    `demur init --serve serve.env`, then `demur serve --env-file serve.env`

    `demur init --promotion plan.yaml`, then `demur promote BUNDLE --plan plan.yaml`
    """
    from demur.commands.init import promotion_file, serving_file, training_file, write_new

    if serve and promotion:
        raise typer.BadParameter("give --serve or --promotion, not both", param_hint="--promotion")
    text = promotion_file() if promotion else serving_file() if serve else training_file()
    write_new(file, text)
    print(f"written: {file}")
