"""The verb `verify`."""

from __future__ import annotations

import typer

from demur.verbs.options import BundleFolder, EngineOption, EnginePrecision


def verify(folder: BundleFolder, engine: EngineOption = None, precision: EnginePrecision = None) -> None:
    """Check every file of a bundle against its digest, and decide its golden cases again.

    Example: `demur verify runs/first/bundle`

    The golden cases run on every engine and precision that the bundle is certified on and that this
    machine has, unless one is named.
    """
    from bundle.choices import AUTO
    from bundle.selection.choice import EnginePreference
    from demur.commands.verify import verify_on_engines

    for line in verify_on_engines(folder, EnginePreference(engine or AUTO, precision or AUTO)):
        typer.echo(line)
