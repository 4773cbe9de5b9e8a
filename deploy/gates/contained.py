"""A gate in a process of its own: a time limit, a memory limit, and every exception as an outcome.

A model may loop, eat the memory or end its process. None of that reaches the promotion, and none of it is a
pass.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bundle.extras import missing_extra
from bundle.system.limits import MEBIBYTE, way_out
from bundle.system.subprocess_call import Say, SubprocessLost, call_in_subprocess
from calibration.errors import DemurError
from deploy.gates.outcome import GateResult

Work = Callable[..., list[GateResult]]
"""Called with `say`, in the process; pickled"""
_MEMINFO: Final = Path("/proc/meminfo")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the process of a gate."""

    longest: float
    """Seconds"""
    memory: float | None
    """MiB; None: what the machine has free"""


def ask_contained(
    work: Work,
    gates: Sequence[str],
    limits: Limits,
    *,
    say: Say,
    cancelled: Callable[[], bool],
) -> list[GateResult]:
    """The results of `gates`, which `work` computes in a process of its own.

    A gate without a result is inconclusive.
    """
    contained = partial(_results, work, tuple(gates), _memory_limit(limits.memory))
    try:
        found = call_in_subprocess(contained, limit=limits.longest, say=say, cancelled=cancelled)
    except SubprocessLost as error:
        return [undecided(gate, f"{error}, so nothing is known") for gate in gates]
    said = {result.gate: result for result in found}
    return [said.get(gate) or undecided(gate, "it gave no result") for gate in gates]


def undecided(gate: str, text: str) -> GateResult:
    """The result of a gate that could not look."""
    return GateResult(gate, "inconclusive", text)


def _results(work: Work, gates: Sequence[str], memory: int | None, *, say: Say) -> list[GateResult]:
    """Runs in the process."""
    _limit_memory(memory)
    try:
        return work(say=say)
    except (DemurError, OSError) as error:
        text = str(error)
    except Exception as error:  # a model or a library may raise anything
        text = _sentence(error)
    return [undecided(gate, text) for gate in gates]


def _sentence(error: Exception) -> str:
    """An error that no gate expects, with the way out where one is known."""
    missing = missing_extra(error) if isinstance(error, ImportError) else None
    if missing is not None:
        return str(missing)
    remedy = way_out(error)
    return f"{type(error).__name__}: {error}" + ("" if remedy is None else f": {remedy}")


def _memory_limit(memory: float | None) -> int | None:
    """Bytes: those of the plan, or what the machine has free; None: nobody knows."""
    if memory is not None:
        return round(memory * MEBIBYTE)
    try:
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _limit_memory(memory: int | None) -> None:
    """Of data, as the kernel counts them; files that are mapped are none. If the machine's memory ends
    nevertheless, this process is the first that the kernel ends."""
    if memory is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        _OOM_SCORE.write_text("1000", encoding="ascii")
    except OSError:
        return
