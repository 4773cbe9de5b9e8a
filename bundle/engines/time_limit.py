"""Calls of a runtime that end in a bounded time.

A model from others may loop for ever. A call with a limit runs in a thread of its own: if it takes too long,
the runtime is requested to stop it, and the caller goes on in any case. A runtime that does not stop keeps
that thread, which ends with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from bundle.engines.contract import ModelTimeout

_GRACE: Final = 2.0
"""Seconds for the runtime to stop, so that it is not left at work if it can be stopped."""

_Result = TypeVar("_Result")


def within(limit: float, call: Callable[[], _Result], stop: Callable[[], None] = lambda: None) -> _Result:
    """The result of `call`, or whatever it raises; ModelTimeout after `limit` seconds.

    `stop` requests the end of a call that takes too long.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again by the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="bounded-model-call", daemon=True)
    thread.start()
    thread.join(max(0.0, limit))
    if thread.is_alive():
        stop()
        thread.join(_GRACE)
        raise ModelTimeout(f"the model took longer than {limit:.3g} s")
    if errors:
        raise errors[0]
    return results[0]
