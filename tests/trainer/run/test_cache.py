"""An entry of a cache is read only while every byte of it is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.run.cache import Facts, cached, new_array


class Maker:
    """Writes an entry, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> Facts:
        self.calls += 1
        array = new_array(folder / "a.npy", (3, 4), np.uint8)
        array[:] = np.arange(12).reshape(3, 4)
        array.flush()
        return {"names": ["x", "y"]}


@pytest.fixture
def make() -> Maker:
    return Maker()


def test_an_entry_is_made_once(make: Maker, tmp_path: Path) -> None:
    first, second = cached(tmp_path / "k", make), cached(tmp_path / "k", make)
    assert (first.found, second.found, make.calls) == (False, True, 1)
    assert first.facts == second.facts == {"names": ["x", "y"]}
    np.testing.assert_array_equal(np.load(second.folder / "a.npy"), np.arange(12).reshape(3, 4))


def _flip_every_bit(content: bytes) -> list[bytes]:
    return [
        content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        for place in range(len(content))
    ]


@pytest.mark.parametrize("name", ["a.npy", "facts.json", "digests.json"])
@pytest.mark.parametrize(
    "damages",
    [_flip_every_bit, lambda content: [content[:-1], b""], lambda content: [bytes(len(content))]],
    ids=["bits", "cut", "zeros"],
)
def test_a_damaged_file_is_made_again(
    name: str, damages: Callable[[bytes], list[bytes]], make: Maker, tmp_path: Path
) -> None:
    path = cached(tmp_path / "k", make).folder / name
    whole = path.read_bytes()
    for count, damaged in enumerate(damages(whole), start=2):
        path.write_bytes(damaged)
        entry = cached(tmp_path / "k", make)
        assert (entry.found, make.calls) == (False, count), damaged
        assert path.read_bytes() == whole
    assert [folder.name for folder in tmp_path.iterdir()] == ["k"]


def test_a_missing_or_a_further_file_is_damage_too(make: Maker, tmp_path: Path) -> None:
    folder = cached(tmp_path / "k", make).folder
    (folder / "a.npy").unlink()
    assert not cached(folder, make).found
    (folder / "b.npy").write_bytes(b"")
    assert not cached(folder, make).found
    assert sorted(path.name for path in folder.iterdir()) == ["a.npy", "digests.json", "facts.json"]


def test_facts_that_do_not_fit_make_the_entry_again(make: Maker, tmp_path: Path) -> None:
    cached(tmp_path / "k", make)
    assert not cached(tmp_path / "k", make, fits=lambda facts: facts["names"] == ["z"]).found
    assert cached(tmp_path / "k", make, fits=lambda facts: facts["names"] == ["x", "y"]).found


def test_an_interrupted_call_leaves_the_old_entry_or_none(make: Maker, tmp_path: Path) -> None:
    def interrupted(folder: Path) -> Facts:
        make(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "k", interrupted)
    assert list(tmp_path.iterdir()) == []
    cached(tmp_path / "k", make)
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "k", interrupted, fits=lambda _: False)
    assert [folder.name for folder in tmp_path.iterdir()] == ["k"]
    assert cached(tmp_path / "k", make).found
