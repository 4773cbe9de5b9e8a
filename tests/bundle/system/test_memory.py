"""Memory of the machine and of its control group, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from bundle.system.memory import Memory, read_memory

_MACHINE = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    400 kB\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_narrower_of_machine_and_group_counts(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text(_MACHINE)
    group = write(
        tmp_path / "v2",
        {"memory.max": "300000", "memory.current": "250000", "memory.stat": "anon 1\ninactive_file 20000\n"},
    )
    assert read_memory(group, machine) == Memory(300_000, 70_000)
    old = write(
        tmp_path / "v1",
        {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "5"},
    )
    assert read_memory(old, machine) == Memory(1_024_000, 409_600)
    none = write(tmp_path / "none", {"memory.max": "max"})
    assert read_memory(none, machine) == Memory(1_024_000, 409_600)
    assert read_memory(none, tmp_path / "nothing") is None
