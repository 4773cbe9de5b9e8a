"""The verb `verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from bundle.choices import DEFAULT_TIME_LIMIT
from demur.verbs.options import AsJson, BundleFolder, EngineOption, EnginePrecision

ExpectOption = Annotated[
    str | None,
    typer.Option(
        "--expect",
        metavar="VERSION",
        help="Version that the bundle must have, as `demur inspect` shows it. [default: any]",
    ),
]

TimeLimitOption = Annotated[
    float,
    typer.Option("--time-limit", min=0.1, help="Seconds for the models, and again for the golden cases."),
]


def verify(
    folder: BundleFolder,
    engine: EngineOption = None,
    precision: EnginePrecision = None,
    expect: ExpectOption = None,
    time_limit: TimeLimitOption = DEFAULT_TIME_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Check every file of a bundle against its digest, and decide its golden cases again.

    Example: `demur verify runs/first/bundle`

    The golden cases run on every engine and precision that the bundle is certified on and that this
    machine has, unless one is named. Digests show damage, not deceit: a bundle from others is only the one
    that you expect if its version is, so pass --expect with a version that you got from its author.
    """
    from bundle.choices import AUTO
    from bundle.selection.choice import EnginePreference
    from demur.commands.verify import verify_on_engines
    from demur.output import write_json

    preference = EnginePreference(engine or AUTO, precision or AUTO)
    verified = verify_on_engines(folder, preference, expect, time_limit)
    if as_json:
        write_json(verified.to_dict())
        return
    for line in verified.lines():
        print(line)
