"""Memory that this process may still take: of the machine, and of its control group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_MACHINE: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    total: int
    available: int


def read_memory(groups: Path = _GROUPS, machine: Path = _MACHINE) -> Memory | None:
    """The narrower of what the machine and the control group leave; None if neither can be read."""
    found = [one for one in (_of_group(groups), _of_machine(machine)) if one is not None]
    return min(found, key=lambda one: one.available, default=None)


def memory_limit(groups: Path = _GROUPS) -> int | None:
    """Bytes that the control group grants; None without a limit."""
    text = _read(groups / "memory.max") or _read(groups / "memory/memory.limit_in_bytes")
    return int(text) if text.isdecimal() else None


def machine_memory(machine: Path = _MACHINE) -> dict[str, int]:
    """Field of /proc/meminfo -> bytes."""
    lines = _read(machine).splitlines()
    pairs = (line.replace(" kB", "").partition(":") for line in lines)
    return {name: 1024 * int(value) for name, _, value in pairs if value.strip().isdecimal()}


def _of_group(groups: Path) -> Memory | None:
    limit = memory_limit(groups)
    used = _read(groups / "memory.current") or _read(groups / "memory/memory.usage_in_bytes")
    if limit is None or not used.isdecimal():
        return None
    # Pages of files that were not used lately are given back before anything else.
    unused = _statistics(groups).get("inactive_file", 0)
    return Memory(limit, max(0, limit - int(used) + unused))


def _statistics(groups: Path) -> dict[str, int]:
    text = _read(groups / "memory.stat") or _read(groups / "memory/memory.stat")
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _of_machine(machine: Path) -> Memory | None:
    fields = machine_memory(machine)
    if "MemTotal" not in fields or "MemAvailable" not in fields:
        return None
    return Memory(fields["MemTotal"], fields["MemAvailable"])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
