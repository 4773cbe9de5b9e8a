"""Small data sets written for each test, and the real ones where they are at hand."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

DATA = Path(os.environ.get("DEMUR_DATA", Path(__file__).parents[4] / "shared" / "data"))


def picture(seed: int, size: tuple[int, int] = (24, 20), kind: str = "PNG") -> bytes:
    """An encoded picture of random blocks; width and height in pixels."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def encode() -> Callable[..., bytes]:
    return picture


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write columns beside n pictures (or the given bytes) in the Hugging Face convention."""

    def write(
        name: str = "set.parquet",
        *,
        n: int = 24,
        images: Sequence[bytes | None] | None = None,
        **columns: Sequence[object] | pa.Array,
    ) -> Path:
        encoded = [picture(row) for row in range(n)] if images is None else list(images)
        structs = [{"bytes": data, "path": f"img/{row:03d}.png"} for row, data in enumerate(encoded)]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(structs, type=kind), **columns})
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=10)
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write files, name -> bytes or text, below a fresh folder."""

    def write(files: dict[str, bytes | str], name: str = "pictures") -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


def _real(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is absent; DEMUR_DATA names the folder of the real photographs")
    return path


@pytest.fixture
def road_signs() -> Path:
    return _real("gtsrb_train.parquet")


@pytest.fixture
def cats_and_dogs() -> Path:
    return _real("catsdogs_train.parquet")
