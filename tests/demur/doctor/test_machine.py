"""Cores and memory as a container limits them, and GPUs as the driver names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle.system.memory import memory_limit
from demur.doctor import machine


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cores_that_a_container_grants(files: dict[str, str], cores: float | None, tmp_path: Path) -> None:
    write(tmp_path, files)
    assert machine._cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"memory.max": "1073741824"}, 2**30),
        ({"memory.max": "max"}, None),
        ({"memory/memory.limit_in_bytes": "4096"}, 4096),
        ({}, None),
    ],
)
def test_memory_that_a_container_grants(files: dict[str, str], size: int | None, tmp_path: Path) -> None:
    write(tmp_path, files)
    assert memory_limit(tmp_path) == size


def test_a_limit_below_the_cores_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_quota", lambda: 0.5)
    (note,) = [one for one in machine.processor() if one.status == "note"]
    assert note.remedy == "set DEMUR_CORES=1 for the service"


def test_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_limit", lambda: 2**30)
    (found,) = machine.memory()
    assert (found.status, "the container may use 1.0 GiB" in found.text) == ("note", True)


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("echo 'NVIDIA X, 100 MiB, 1.0'", ["NVIDIA X, 100 MiB, 1.0"]),
        ("echo 'no devices were found'; exit 6", []),
    ],
)
def test_gpus(script: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert list(machine.gpu_names()) == names


@pytest.mark.parametrize(("torch", "statuses"), [("2.13.0+cpu", ["ok", "note"]), ("2.13.0+cu130", ["ok"])])
def test_a_torch_without_cuda_beside_a_gpu(
    torch: str, statuses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpu_names", lambda: ["NVIDIA X"])
    monkeypatch.setattr(machine, "_torch_version", lambda: torch)
    assert [one.status for one in machine.gpu()] == statuses


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
