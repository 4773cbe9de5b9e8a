"""A damaged checkpoint is refused by name; a full or read-only disk is one sentence with the way out."""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainer.fit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trainer.run.digests import DamagedFile
from trainer.run.disk import DiskError

TENSORS = {
    "model/weight": torch.arange(24, dtype=torch.float32).reshape(4, 6),
    "model/steps": torch.tensor(7),
    "model/half": torch.ones(5, dtype=torch.bfloat16),
    "model/mask": torch.tensor([True, False]),
}
STATE = {"fingerprint": {"config": {"lr": 0.1}}, "step": 12, "history": [{"loss": 0.25}]}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "training.safetensors"
    save_checkpoint(path, TENSORS, STATE)
    return path


def test_tensors_and_state_come_back_as_they_were(written: Path) -> None:
    tensors, state = load_checkpoint(written)
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_equal_content_gives_equal_bytes(written: Path, tmp_path: Path) -> None:
    for place in range(8):
        save_checkpoint(tmp_path / f"{place}.safetensors", TENSORS, STATE)
        assert (tmp_path / f"{place}.safetensors").read_bytes() == written.read_bytes()


def test_every_single_bit_matters(written: Path) -> None:
    whole = written.read_bytes()
    for place in range(len(whole)):
        for bit in random.Random(place).sample(range(8), 2):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            written.write_bytes(damaged)
            with pytest.raises(DamagedFile, match=r"safetensors is damaged .*remove the file"):
                load_checkpoint(written)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused(written: Path, share: float) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamagedFile, match="is damaged"):
        load_checkpoint(written)


def test_random_bytes_are_refused(written: Path) -> None:
    written.write_bytes(random.Random(0).randbytes(len(written.read_bytes())))
    with pytest.raises(DamagedFile, match="is damaged"):
        load_checkpoint(written)


def test_a_checkpoint_of_an_earlier_version_has_no_digest_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    save_file(TENSORS, path, metadata={"state": json.dumps(STATE)})
    assert Checkpoint(path, STATE["fingerprint"]).load() is not None  # type: ignore[arg-type]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_beyond_the_limit_is_named_and_the_old_one_stays(written: Path) -> None:
    with (
        largest_file(64),
        pytest.raises(DiskError, match=r"training\.safetensors cannot be written: .*`ulimit -f`"),
    ):
        save_checkpoint(written, {"model/weight": torch.zeros(1000)}, STATE)
    assert load_checkpoint(written)[1] == STATE
    assert [file.name for file in written.parent.iterdir()] == [written.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's folder")
def test_a_folder_of_another_user_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(DiskError, match=r"cannot be written: .*choose another folder with --out"):
            save_checkpoint(tmp_path / "run" / "training.safetensors", TENSORS, STATE)
    finally:
        os.seteuid(0)
