"""The command line: one verb a thing that a person wants done.

A verb reads its options, calls one function and prints what it returned. Imports are lazy, so that
`demur --help` is quick and serving never loads a training library.
"""

from __future__ import annotations

import os
import sys

import typer

from bundle.system.malloc import OF_AN_IMAGE, keep_freed_memory
from demur.verbs import bundles, certificates, pretraining, serving, training

app = typer.Typer(
    name="demur",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "An image classifier that knows when not to answer.\n\n"
        "Labelled images in, a certified *bundle* out: of the images it answers, at most 1 % are answered "
        "wrongly, with 95 % confidence; the rest come back as ambiguous.\n\n"
        "Start with `demur demo`, or with your own images: `demur train --data folder:PATH --out DIR`."
    ),
)
training.register(app)
pretraining.register(app)
certificates.register(app)
bundles.register(app)
serving.register(app)

EXPECTED_FAULT, INTERRUPTED = 2, 130


def main() -> None:
    """Entry point: what a user can mend is told in one message, without a traceback."""
    keep_freed_memory(OF_AN_IMAGE)
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away; nothing is left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("DEMUR_DEBUG") or not _is_expected(error):
            raise
        print(f"demur: {error}", file=sys.stderr)
        sys.exit(EXPECTED_FAULT)


def _is_expected(error: Exception) -> bool:
    """Whether the error is one that a room raises about its input, or the system about a file."""
    if isinstance(error, OSError):
        return True
    rooms = ("bundle", "calibration", "demur", "monitoring", "service", "trainer")
    return any(kind.__module__.split(".")[0] in rooms for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
