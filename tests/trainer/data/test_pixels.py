"""Decoding once: the serving path, faults collected, the cache found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec, decode_target, resize
from trainer.data import pixels as room
from trainer.data.config import DataConfig
from trainer.data.pixels import load_pixels, typical_size
from trainer.data.source import open_source
from trainer.errors import DataError

Writer = Callable[..., Path]
SPECS = (PreprocessSpec(height=8, width=8), PreprocessSpec(height=16, width=12, resize="crop"))


def test_pixels_are_those_that_the_service_would_compute(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row, (160, 120), "JPEG") for row in range(150)]
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=images, label=[0, 1] * 75)}"))
    done: list[int] = []
    loaded = load_pixels(source, SPECS, workers=2, advance=done.append)
    assert sum(done) == 150
    assert loaded.faults == {}
    assert len(set(loaded.content)) == 150
    for row in (0, 70, 149):
        decoded = decode(images[row], target=decode_target(SPECS))
        for array, spec in zip(loaded.arrays, SPECS, strict=True):
            np.testing.assert_array_equal(array[row], resize(decoded, spec))


def test_faults_are_collected_and_leave_black_pixels(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(0), b"", encode(2)[:60], b"text", None, encode(5)]
    loaded = load_pixels(open_source(DataConfig(source=f"parquet:{write_parquet(images=images)}")), SPECS)
    assert sorted(loaded.faults) == [1, 2, 3, 4]
    assert loaded.faults[1] == "the image has 0 bytes"
    assert "not an image" in loaded.faults[3]
    assert not loaded.arrays[0][1:5].any()
    assert loaded.arrays[0][5].any()
    reduced = loaded.take(np.array([5, 1]))
    assert list(reduced.faults) == [1]
    np.testing.assert_array_equal(reduced.arrays[0][0], loaded.arrays[0][5])


def test_the_cache_is_found_again_and_keyed_by_source_and_specs(
    write_parquet: Writer, tmp_path: Path, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=[encode(0), b'x', encode(2)])}"))
    cache = tmp_path / "cache"
    first = load_pixels(source, SPECS, cache=cache)
    load_pixels(source, SPECS[:1], cache=cache)
    load_pixels(source.take(np.array([2])), SPECS, cache=cache)
    assert len(list(cache.iterdir())) == 3

    def forbidden(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(room, "decode", forbidden)
    again = load_pixels(source, SPECS, cache=cache)
    assert (again.content, again.faults) == (first.content, first.faults)
    assert isinstance(again.arrays[0], np.memmap)
    np.testing.assert_array_equal(again.arrays[1], first.arrays[1])


def test_an_interrupted_pass_leaves_no_cache(write_parquet: Writer, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        load_pixels(
            open_source(DataConfig(source=f"parquet:{write_parquet()}")),
            SPECS,
            cache=cache,
            advance=interrupt,
        )
    assert list(cache.iterdir()) == []


def test_the_typical_size_is_the_median_of_what_can_be_decoded(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row, (40, 30)) for row in range(6)] + [encode(9, (400, 300)), b"x"]
    assert typical_size(open_source(DataConfig(source=f"parquet:{write_parquet(images=images)}"))) == (30, 40)
    with pytest.raises(DataError, match=r"none of .* can be decoded"):
        typical_size(
            open_source(DataConfig(source=f"parquet:{write_parquet('bad.parquet', images=[b'x'] * 3)}"))
        )


def test_a_damaged_cache_is_decoded_again(
    write_parquet: Writer, tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=[encode(0), b'x', encode(2)])}"))
    first = load_pixels(source, SPECS)
    load_pixels(source, SPECS, cache=tmp_path)
    (entry,) = tmp_path.glob("*/digests.json")
    for path in (entry.with_name("pixels_1.npy"), entry.with_name("facts.json")):
        damaged = bytearray(path.read_bytes())
        damaged[-3] ^= 1
        path.write_bytes(damaged)
        again = load_pixels(source, SPECS, cache=tmp_path)
        assert (again.content, again.faults) == (first.content, first.faults)
        for one, other in zip(again.arrays, first.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
