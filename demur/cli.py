"""Command line: the list of verbs, and what becomes of their errors.

A verb reads its options, calls one function and prints the result. Its imports are inside of it, so that
`demur --help` is quick and serving never loads a training library.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Final, NoReturn

import typer

from bundle.extras import missing_extra
from bundle.system.limits import FOLDER_ERRORS, MEBIBYTE, require_limits, way_out
from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory
from calibration.errors import DemurError
from demur.interruption import Interruption, asked_verb
from demur.needs import checked
from demur.output import asks_for_json, escape_unencodable, sentence, write_json
from demur.verbs.alerts import alerts
from demur.verbs.bundle import bundle
from demur.verbs.calibrate import calibrate
from demur.verbs.compare import compare
from demur.verbs.data import data
from demur.verbs.demo import demo
from demur.verbs.doctor import doctor
from demur.verbs.drift import drift
from demur.verbs.evaluate import evaluate
from demur.verbs.events import events
from demur.verbs.experiment_service import experiment
from demur.verbs.fleet import fleet
from demur.verbs.gate import gate
from demur.verbs.health import health
from demur.verbs.init import init
from demur.verbs.inspect import inspect
from demur.verbs.ledger import ledger
from demur.verbs.logs import logs
from demur.verbs.predict import predict
from demur.verbs.pretrain import pretrain
from demur.verbs.profile import profile
from demur.verbs.promote import promote
from demur.verbs.promotion import promotion
from demur.verbs.registry import registry
from demur.verbs.rollback import rollback
from demur.verbs.serve import serve
from demur.verbs.sign import sign
from demur.verbs.sweep import sweep
from demur.verbs.train import train
from demur.verbs.verify import verify
from demur.verbs.wrap import wrap

app = typer.Typer(
    name="demur",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    "Bundles": (bundle, inspect, sign, verify, predict),
    "Production": (serve, health, logs, profile, promote, rollback, fleet),
    "Set-up": (doctor, init),
}
GROUPS: Final[Mapping[str, tuple[typer.Typer, ...]]] = {
    "Certificates": (ledger,),
    "Production": (alerts, drift, events, experiment, promotion, registry),
}
"""Verbs that have verbs of their own"""
for _panel, _verbs in PANELS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(checked(_verb))
for _panel, _groups in GROUPS.items():
    for _group in _groups:
        app.add_typer(_group, rich_help_panel=_panel)

EXPECTED_FAULT, INTERRUPTED = 2, 130
ADDRESS_SPACE: Final[Mapping[str, int]] = {
    **dict.fromkeys(("data", "serve"), 1024 * MEBIBYTE),
    # Below this, OpenBLAS may wait without end for memory while SciPy is imported.
    **dict.fromkeys(("predict", "wrap", "calibrate", "bundle", "profile", "promote"), 1536 * MEBIBYTE),
    **dict.fromkeys(("train", "demo", "pretrain", "compare"), 3072 * MEBIBYTE),
}
"""Verb that computes -> address space that its libraries map"""


def _print_version(asked: bool) -> None:
    if asked:
        from demur.commands.version import version_line

        print(version_line())
        raise typer.Exit


@app.callback()
def _options_of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the versions of demur, Python and the inference engines, and exit.",
        ),
    ] = False,
) -> None:
    """Options before a verb; `--version` acts while it is read."""


def main() -> None:
    """Run the verb that was asked for.

    An error that a user can mend ends in one message, without a traceback, and so does a signal. With
    `--json` the message also goes to standard output, as `{"error", "kind", "exit_code"}`.
    """
    keep_freed_memory(IMAGE_BYTES)
    escape_unencodable()
    # Both write to the home folder, and complain if they cannot. ONNX Runtime would also send telemetry.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    interruption = Interruption()
    try:
        with interruption.watched():
            _run()
    except BaseException as error:
        # Libraries turn an interruption into errors of their own, and Typer into an exit code.
        if interruption.number is None and not _is_interrupt(error):
            raise
        _refuse("Interruption", interruption.sentence(asked_verb()), interruption.exit_code)


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and error.code == INTERRUPTED
    )


def _run() -> None:
    try:
        _run_verb()
    except BrokenPipeError:
        _discard_output()
        sys.exit(1)
    except typer.TyperException as error:  # raised only for JSON: typer prints it otherwise
        _refuse(type(error).__name__, error.format_message(), error.exit_code)
    except Exception as error:
        text = fault(error)
        if text is None or os.environ.get("DEMUR_DEBUG"):
            raise
        _refuse(type(error).__name__, text, EXPECTED_FAULT)


def _run_verb() -> None:
    verb = asked_verb()
    if verb in ADDRESS_SPACE and "--help" not in sys.argv:
        require_limits(ADDRESS_SPACE[verb], MEBIBYTE if verb == "serve" else 0)
    try:
        code = app(standalone_mode=False) if asks_for_json(sys.argv[1:]) else app()
    finally:
        # Here, because an error while the interpreter exits would have no message.
        sys.stdout.flush()
    sys.exit(code or 0)


def _refuse(kind: str, message: str, code: int) -> NoReturn:
    print(f"demur: {message}", file=sys.stderr)
    if asks_for_json(sys.argv[1:]):
        with suppress(OSError):
            write_json({"error": message, "kind": kind, "exit_code": code})
    _discard_output()
    sys.exit(code)


def fault(error: Exception) -> str | None:
    """The message of an error that a user can mend; None for a bug."""
    if isinstance(error, ModuleNotFoundError):
        missing = missing_extra(error)
        return None if missing is None else str(missing)
    # The cause of an error of demur is often an error of the system.
    help_with_limit = way_out(error) or (None if error.__cause__ is None else way_out(error.__cause__))
    if asked_verb() == "serve" and isinstance(error, OSError) and error.errno in FOLDER_ERRORS:
        help_with_limit = help_with_limit or "name another folder with --data-dir (DEMUR_DATA_DIR)"
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
