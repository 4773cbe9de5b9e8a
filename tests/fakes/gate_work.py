"""Work of a gate that loops, dies, raises or eats memory; importable, because a process runs it."""

from __future__ import annotations

import os
import time

from bundle.system.subprocess_call import Say
from deploy.errors import GateUndecided
from deploy.gates.outcome import GateResult


def passes(gates: tuple[str, ...], *, say: Say) -> list[GateResult]:
    return [GateResult(gate, "passed", "as it must be") for gate in gates]


def loops(*, say: Say) -> list[GateResult]:
    while True:
        time.sleep(1.0)


def dies(*, say: Say) -> list[GateResult]:
    os._exit(7)


def raises(error: Exception, *, say: Say) -> list[GateResult]:
    raise error


def eats(mebibytes: int, *, say: Say) -> list[GateResult]:
    kept = [bytearray(2**20) for _ in range(mebibytes)]
    return [GateResult("golden", "passed", f"{len(kept)} MiB")]


def cannot(*, say: Say) -> list[GateResult]:
    raise GateUndecided("there is nothing to see")
