"""Processes as the kernel reports them: their tree, CPU time and memory (Linux)."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """`root` and every living process below it."""
    children: dict[int, list[int]] = defaultdict(list)
    alive = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and fields[0] != "Z":
            alive.add(int(entry.name))
            children[int(fields[1])].append(int(entry.name))
    found, frontier = [], [root] if root in alive else []
    while frontier:
        found += frontier
        frontier = [child for pid in frontier for child in children[pid]]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes and of their children that have ended."""
    spent = 0
    for pid in pids:
        if fields := _stat(pid):
            spent += sum(int(value) for value in fields[11:15])
    return spent / _TICKS


def resident_mb(pid: int) -> float:
    """Resident memory, shared pages included; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
    except (OSError, IndexError):
        return 0.0


def command(pid: int) -> str:
    """Command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def identity(pid: int) -> tuple[int, str] | None:
    """Pid and start time, which tell a process from a later one with the same pid; None if it has ended."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else (pid, fields[19])


def end(processes: Iterable[tuple[int, str]]) -> None:
    """Kill those that are still alive."""
    for pid, started in processes:
        if identity(pid) == (pid, started):
            os.kill(pid, signal.SIGKILL)


def wait_for_end(processes: Iterable[tuple[int, str]], patience: float) -> list[tuple[int, str]]:
    """Wait until all have ended; return those that have not after `patience` seconds."""
    give_up = time.monotonic() + patience
    left = list(processes)
    while left and time.monotonic() < give_up:
        time.sleep(0.02)
        left = [process for process in left if identity(process[0]) == process]
    return left


def free_ports(count: int) -> list[int]:
    """Free ports of this machine.

    They lie below those that the kernel gives to clients: a client that retries a port of that range
    while it is free sooner or later connects to itself.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat, from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
