"""Processes are found and measured, and reported as left over if they outlive their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from harness import processes

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
time.sleep(60)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = [found for pid in processes.tree(process.pid) if (found := processes.identity(pid))]
        yield process
        processes.end(family)


def test_a_child_that_outlives_its_parent_is_left_over(parent: subprocess.Popen[bytes]) -> None:
    family = [found for pid in processes.tree(parent.pid) if (found := processes.identity(pid))]
    assert len(family) == 2
    parent.terminate()
    parent.wait()
    left = processes.wait_for_end(family, 0.2)
    assert [pid for pid, _ in left] == [family[1][0]]
    processes.end(left)
    assert processes.wait_for_end(left, 5.0) == []
    # Another process with the same pid and another start time is left alone.
    processes.end([(os.getpid(), "0")])


def test_cpu_and_memory_are_those_of_the_process() -> None:
    before = processes.cpu_seconds([os.getpid()])
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert 0.15 < processes.cpu_seconds([os.getpid()]) - before < 1.0
    small = processes.resident_mb(os.getpid())
    ballast = bytearray(b"x" * 50_000_000)
    assert 45 < processes.resident_mb(os.getpid()) - small < 120
    del ballast


def test_an_ended_process_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert processes.tree(process.pid) == []
    assert processes.resident_mb(process.pid) == 0.0
    assert processes.identity(process.pid) is None
    assert processes.command(process.pid) == ""
