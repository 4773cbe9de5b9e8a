"""A file that cannot be written is named, with the reason and the way out; on a real full disk too."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.fit.checkpoint import save_checkpoint
from trainer.run.disk import DiskError, explain_disk_errors, reserve
from trainer.run.folder import write_csv, write_json

FULL = "cannot be written: the disk is full; free some space, or choose a folder on another disk with --out"


def test_the_system_s_error_becomes_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with pytest.raises(DiskError) as caught, explain_disk_errors(path), open("/dev/full", "wb") as file:
        file.write(bytes(100_000))
    assert str(caught.value) == f"{path} {FULL}"


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), explain_disk_errors(tmp_path):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(RuntimeError, match="shapes"), explain_disk_errors(tmp_path):
        raise RuntimeError("shapes")


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(DiskError, match=r"splits\.json cannot be written: .*--out"):
        write_json(tmp_path / "run" / "splits.json", {})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs more rights")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_every_kind_of_file_is_named_on_a_full_disk_and_leaves_nothing_behind(small_disk: Path) -> None:
    with pytest.raises(DiskError, match=rf"faults\.json {FULL}"):
        write_json(small_disk / "faults.json", list(range(100_000)))
    with pytest.raises(DiskError, match=rf"metrics\.csv {FULL}"):
        write_csv(small_disk / "metrics.csv", ["row"], ([row] for row in range(100_000)))
    with pytest.raises(DiskError, match=rf"training\.safetensors {FULL}"):
        save_checkpoint(small_disk / "training.safetensors", {"weight": torch.zeros(100_000)}, {})
    assert list(small_disk.iterdir()) == []
    array = np.lib.format.open_memmap(small_disk / "f.npy", mode="w+", dtype=np.float32, shape=(100_000,))
    with pytest.raises(DiskError, match=rf"f\.npy {FULL}"):
        reserve(small_disk / "f.npy")
    del array
