"""The machine: processor and its instructions, cores, memory and the limits of a container, and the GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bundle.system.machine import this_machine
from bundle.system.memory import machine_memory, memory_limit
from demur.doctor.finding import Finding

GIB: Final = 2**30
_PRECISIONS: Final = {
    "AVX-512 VNNI": ("avx512_vnni", "avx_vnni"),
    "AVX-512 BF16": ("avx512_bf16",),
    "AMX": ("amx_tile",),
}
"""Name -> flags of the kernel, any of which will do"""
_LITTLE_MEMORY: Final = 2 * GIB


def processor() -> Iterator[Finding]:
    """Its name, the cores that this process may use, and the instructions that make int8 and bf16 fast."""
    machine = this_machine()
    cores, allowed = os.cpu_count() or 1, _allowed_cores()
    quota = _cpu_quota()
    limited = [f"{allowed} usable"] if allowed != cores else []
    limited += [] if quota is None else [f"a limit of {quota:g} by the container"]
    limits = f" ({', '.join(limited)})" if limited else ""
    yield Finding("machine", "ok", f"{machine.processor}, {cores} cores{limits}")
    if quota is not None and quota < allowed:
        yield Finding(
            "machine",
            "note",
            f"the container may use {quota:g} cores, and the process sees {allowed}",
            f"set DEMUR_CORES={max(1, int(quota))} for the service",
        )
    here = [name for name, flags in _PRECISIONS.items() if set(flags) & set(machine.instructions)]
    absent = [name for name in _PRECISIONS if name not in here]
    text = f"has {', '.join(here) or 'none of the instructions for int8 and bf16'}"
    text += f"; not {', '.join(absent)}" if here and absent else ""
    yield Finding("machine", "ok", f"the processor {text}")


def memory() -> Iterator[Finding]:
    """Total and available memory, and the limit of the container."""
    sizes = machine_memory()
    if not sizes:
        yield Finding("memory", "note", "unknown: there is no /proc/meminfo here")
        return
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
    limit = memory_limit()
    text = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available"
    if limit is not None and limit < total:
        text += f"; the container may use {limit / GIB:.1f} GiB"
    usable = min(available, limit) if limit is not None else available
    if usable < _LITTLE_MEMORY:
        yield Finding("memory", "note", text, "training takes about 2 GiB; end other programs")
    else:
        yield Finding("memory", "ok", text)


def gpu() -> Iterator[Finding]:
    """NVIDIA GPUs, as the driver names them, and whether the installed torch can use them."""
    names = gpu_names()
    if not names:
        yield Finding("GPU", "note", "none; training and serving use the CPU")
        return
    yield from (Finding("GPU", "ok", name) for name in names)
    torch = _torch_version()
    if torch.endswith("+cpu"):
        text = f"torch {torch} is built without CUDA: training uses the CPU"
        yield Finding("GPU", "note", text, "install torch again from its index for your CUDA version")


def gpu_names() -> Sequence[str]:
    """`NVIDIA H200, 143771 MiB, driver 570.1` for each GPU; empty without one, or without its driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command line
            [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return [line.strip() for line in done.stdout.splitlines() if line.strip() and done.returncode == 0]


def _torch_version() -> str:
    """As its package states it; empty if it is not installed. Importing torch would take seconds."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _allowed_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores that the control group grants; None without a limit."""
    text = _read(root / "cpu.max")
    quota, period = text.split()[:2] if text else (_read(root / "cpu/cpu.cfs_quota_us"), "")
    period = period or _read(root / "cpu/cpu.cfs_period_us")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
