"""A call in a subprocess, which leaves nothing behind in this process.

Opening a model takes hundreds of megabytes, much of which a runtime never returns, and a runtime that
crashes takes its process along. The subprocess starts a fresh interpreter and imports the module of the
function; the caller's main module does not run again. It ends with its caller.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from bundle.errors import BundlePackageError
from bundle.system.parent import end_with_parent

Say = Callable[[str], None]
_Result = TypeVar("_Result")

_CANCEL_CHECK = 1.0
"""Seconds between two checks whether the caller has cancelled."""


class SubprocessLost(BundlePackageError, RuntimeError):
    """The subprocess ended, or was ended, before the result was there; the message says how."""


@dataclass(frozen=True, slots=True)
class _Done:
    result: Any


def call_in_subprocess(
    work: Callable[..., _Result],
    *,
    limit: float,
    say: Say = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> _Result:
    """The result of `work(say=...)`, computed in another process within `limit` seconds.

    `work` and its result are pickled. `cancelled` is checked every second. Raises SubprocessLost if the
    process dies, raises, takes longer or is cancelled; its traceback goes to standard error.
    """
    give_up = time.monotonic() + limit
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - a fixed command line
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(math.ceil(limit))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        try:
            # Both processes import from the same places.
            ours.send(sys.path)
            ours.send(work)
            while (left := give_up - time.monotonic()) > 0:
                if cancelled():
                    raise SubprocessLost("its process was cancelled")
                if not ours.poll(min(left, _CANCEL_CHECK)):
                    continue
                message: str | _Done = ours.recv()
                if isinstance(message, _Done):
                    result: _Result = message.result
                    return result
                say(message)
        except (EOFError, OSError):
            raise SubprocessLost(f"its process ended with {process.wait()}") from None
        finally:
            process.kill()
            process.wait()
    raise SubprocessLost(f"its process took longer than {limit:g} s")


def _serve(caller: Connection) -> None:
    """Run the function that the caller sends, and send back its result."""
    sys.path[:] = caller.recv()
    work: Callable[..., Any] = caller.recv()
    caller.send(_Done(work(say=caller.send)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent(signal.SIGKILL)
    # Where the system does not end the process with its caller.
    signal.alarm(int(sys.argv[2]) + 1)
    # Imported by its name: the classes that the caller unpickles must not be those of `__main__`.
    from bundle.system import subprocess_call as module

    module._serve(Connection(int(sys.argv[1])))
