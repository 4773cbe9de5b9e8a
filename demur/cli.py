"""Command line: the list of verbs, and what becomes of their errors.

A verb reads its options, calls one function and prints the result. Its imports are inside of it, so that
`demur --help` is quick and serving never loads a training library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

import typer

from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory
from calibration.errors import DemurError
from demur.verbs.bundle import bundle
from demur.verbs.calibrate import calibrate
from demur.verbs.compare import compare
from demur.verbs.data import data
from demur.verbs.demo import demo
from demur.verbs.evaluate import evaluate
from demur.verbs.gate import gate
from demur.verbs.inspect import inspect
from demur.verbs.predict import predict
from demur.verbs.pretrain import pretrain
from demur.verbs.profile import profile
from demur.verbs.serve import serve
from demur.verbs.sweep import sweep
from demur.verbs.train import train
from demur.verbs.verify import verify
from demur.verbs.wrap import wrap

app = typer.Typer(
    name="demur",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "An image classifier that knows when not to answer.\n\n"
        "From labelled images demur makes a certified *bundle*: of the images that it answers, at most 1 % "
        "are answered wrongly, with 95 % confidence; the others come back as ambiguous.\n\n"
        "Start with `demur demo`, or with your own images: `demur train --data folder:PATH --out DIR`."
    ),
)

PANELS: Final[Mapping[str, tuple[Callable[..., None], ...]]] = {
    "From images to a bundle": (demo, data, train, compare, pretrain),
    "Certificates": (sweep, gate, calibrate, evaluate, wrap),
    "Bundles": (bundle, inspect, verify, predict),
    "Production": (serve, profile),
}
for _panel, _verbs in PANELS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(_verb)

EXPECTED_FAULT, INTERRUPTED = 2, 130


def main() -> None:
    """Entry point. An error that a user can mend ends in one message, without a traceback."""
    keep_freed_memory(IMAGE_BYTES)
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output is gone; nothing is left to print, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (DemurError, OSError) as error:
        if os.environ.get("DEMUR_DEBUG"):
            raise
        print(f"demur: {error}", file=sys.stderr)
        sys.exit(EXPECTED_FAULT)


if __name__ == "__main__":
    main()
