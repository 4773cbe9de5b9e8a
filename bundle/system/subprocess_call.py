"""Work that leaves nothing behind: done in a process of its own, which ends with it.

Opening a model takes hundreds of megabytes, much of which a runtime never gives back, and a runtime that
crashes takes its process along. The process starts afresh and imports what the work names; the caller's
main module is not run again.
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

Say = Callable[[str], None]
_Result = TypeVar("_Result")


class WorkLost(RuntimeError):
    """The process ended or was ended before the work was done; the message says how."""


@dataclass(frozen=True, slots=True)
class _Done:
    result: Any


def apart(work: Callable[..., _Result], *, limit: float, say: Say = lambda _: None) -> _Result:
    """What `work(say=...)` returns, computed in another process within `limit` seconds.

    `work` and its result are pickled. Raises WorkLost where the process dies, raises or takes longer; its
    traceback is on the standard error.
    """
    give_up = time.monotonic() + limit
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(math.ceil(limit))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        try:
            # What can be imported here can be imported there.
            ours.send(sys.path)
            ours.send(work)
            while (left := give_up - time.monotonic()) > 0 and ours.poll(left):
                heard: str | _Done = ours.recv()
                if isinstance(heard, _Done):
                    result: _Result = heard.result
                    return result
                say(heard)
        except (EOFError, OSError):
            raise WorkLost(f"its process ended with {process.wait()}") from None
        finally:
            process.kill()
            process.wait()
    raise WorkLost(f"its process took longer than {limit:g} s")


def _serve(caller: Connection) -> None:
    """Do the work that the caller sends, and tell it."""
    sys.path[:] = caller.recv()
    work: Callable[..., Any] = caller.recv()
    caller.send(_Done(work(say=caller.send)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Ends it where nobody is left who would.
    signal.alarm(int(sys.argv[2]) + 1)
    # As the module that the caller knows: what it unpickles there is not `__main__`'s.
    from bundle.system import subprocess_call as known

    known._serve(Connection(int(sys.argv[1])))
