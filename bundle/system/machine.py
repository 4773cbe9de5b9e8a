"""The machine as far as timings depend on it: the processor and the versions of the runtimes."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

_INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
)
"""Instruction sets that change the speed of a precision."""


@dataclass(frozen=True)
class Machine:
    """The properties of a machine that the speed of an engine depends on."""

    processor: str
    instructions: tuple[str, ...]
    runtimes: tuple[str, ...]
    """Name and version of each installed runtime."""

    @cached_property
    def digest(self) -> str:
        """16 hex digits, different for another processor or runtime version."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


def this_machine(runtimes: tuple[str, ...] = ()) -> Machine:
    """The machine that this process runs on; `runtimes`: see `Machine`."""
    name, flags = _processor()
    return Machine(name, tuple(flag for flag in _INSTRUCTION_SETS if flag in flags), runtimes)


def _processor() -> tuple[str, frozenset[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    first = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines[:40])}
    identity = [first.get(field, "") for field in ("model name", "cpu family", "model", "stepping")]
    return " ".join(filter(None, identity)) or platform.machine(), frozenset(first.get("flags", "").split())
