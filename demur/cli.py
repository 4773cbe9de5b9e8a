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

from bundle.system.limits import way_out
from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory
from calibration.errors import DemurError
from demur.interruption import Interruption, asked_verb
from demur.output import escape_unencodable, sentence
from demur.verbs.bundle import bundle
from demur.verbs.calibrate import calibrate
from demur.verbs.compare import compare
from demur.verbs.data import data
from demur.verbs.demo import demo
from demur.verbs.evaluate import evaluate
from demur.verbs.gate import gate
from demur.verbs.inspect import inspect
from demur.verbs.ledger import ledger
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
GROUPS: Final[Mapping[str, tuple[typer.Typer, ...]]] = {"Certificates": (ledger,)}
"""Verbs that have verbs of their own"""
for _panel, _verbs in PANELS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(_verb)
for _panel, _groups in GROUPS.items():
    for _group in _groups:
        app.add_typer(_group, rich_help_panel=_panel)

EXPECTED_FAULT, INTERRUPTED = 2, 130


def main() -> None:
    """Run the verb that was asked for.

    An error that a user can mend ends in one message, without a traceback, and so does a signal.
    """
    keep_freed_memory(IMAGE_BYTES)
    escape_unencodable()
    interruption = Interruption()
    try:
        with interruption.watched():
            _run()
    except BaseException as error:
        # Libraries turn an interruption into errors of their own, and Typer into an exit code.
        if interruption.number is None and not _is_interrupt(error):
            raise
        print(f"demur: {interruption.sentence(asked_verb())}", file=sys.stderr)
        _discard_output()
        sys.exit(interruption.exit_code)


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and error.code == INTERRUPTED
    )


def _run() -> None:
    try:
        try:
            app()
        finally:
            # Here, because an error while the interpreter exits would have no message.
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(1)
    except Exception as error:
        text = fault(error)
        if text is None or os.environ.get("DEMUR_DEBUG"):
            raise
        print(f"demur: {text}", file=sys.stderr)
        _discard_output()
        sys.exit(EXPECTED_FAULT)


def fault(error: Exception) -> str | None:
    """The message of an error that a user can mend; None for a bug."""
    help_with_limit = way_out(error)
    if isinstance(error, DemurError | OSError):
        text = sentence(error)
        return text if help_with_limit is None else f"{text}; {help_with_limit}"
    return help_with_limit


def _discard_output() -> None:
    """Drop what standard output still holds: it cannot be written, or the reader is gone."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
