"""Entry point of the command line, which imports nothing before it can be interrupted without a traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType

from demur.interruption import STOPS


def main() -> None:
    """Import the verbs, then run the one that was asked for."""
    for number in STOPS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end_at_once)
    from demur.cli import main as run

    run()


def _end_at_once(number: int, _: FrameType | None) -> None:
    """Nothing has been done yet, so there is nothing to tidy up."""
    os.write(2, b"demur: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
