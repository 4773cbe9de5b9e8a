"""The verb `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bundle.extras import require_modules
from demur.needs import NEEDS
from demur.verbs.options import Seed


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run.")] = Path("demo-run"),
    serve: Annotated[
        bool, typer.Option(help="Serve the finished bundle on 127.0.0.1:8000 until Ctrl-C.")
    ] = True,
    seed: Seed = 0,
) -> None:
    """Train, certify and serve on synthetic street scenes, in a few minutes; needs no data.

    Example: `demur demo --out demo-run`

    The same folder resumes an interrupted demo.
    """
    if serve:
        # Named now, and not after minutes of training.
        require_modules("demo", NEEDS["serve"])
    from demur.commands.demo import run_demo

    run_demo(out, serve=serve, seed=seed)
