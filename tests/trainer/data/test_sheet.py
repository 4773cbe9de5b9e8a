"""Contact sheets: what is chosen, and that every source gives one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data.config import DataConfig
from trainer.data.sheet import choose_images, contact_sheet
from trainer.data.source import open_source
from trainer.errors import DataError

Writer = Callable[..., Path]


def test_classes_take_turns_and_new_groups_come_first(write_parquet: Writer) -> None:
    labels = [int(row >= 200) for row in range(240)]
    path = write_parquet(n=240, label=labels, track=[f"t{row // 10}" for row in range(240)])
    source = open_source(DataConfig(source=f"parquet:{path}", group="track"))
    rows = choose_images(source, 8, seed=1)
    assert np.bincount(source.labels[rows]).tolist() == [4, 4]
    assert source.groups is not None
    assert len(set(source.groups[rows].tolist())) == 8
    assert choose_images(source, 8, seed=1).tolist() == rows.tolist()
    assert choose_images(source, 8, seed=2).tolist() != rows.tolist()
    assert len(choose_images(source, 1_000, seed=0)) == 240


def test_the_page_shows_the_pictures(write_parquet: Writer, tmp_path: Path) -> None:
    path = write_parquet(label=[0, 1] * 12, hour=list(range(24)))
    source = open_source(DataConfig(source=f"parquet:{path}", class_names=("clear", "works")))
    contact_sheet(source, tmp_path / "new" / "sheet.png", rows=2, columns=3, tile=100)
    with Image.open(tmp_path / "new" / "sheet.png") as page:
        assert page.width == 2 * 28 + 3 * 100 + 2 * 16
        assert len(page.convert("RGB").getcolors(1 << 20) or ()) > 200
    contact_sheet(source, tmp_path / "same.png", rows=2, columns=3, tile=100)
    assert (tmp_path / "same.png").read_bytes() == (tmp_path / "new" / "sheet.png").read_bytes()


def test_damaged_and_unlabelled_images_have_their_place(
    write_parquet: Writer, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    source = open_source(
        DataConfig(source=f"parquet:{write_parquet(images=[b'', encode(1), encode(2)[:40]])}")
    )
    contact_sheet(source, tmp_path / "sheet.png", rows=4, columns=2)
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.height < 600, "two rows suffice for three images"


def test_impossible_sheets_are_refused(write_parquet: Writer, tmp_path: Path) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(hour=list(range(24)))}"))
    with pytest.raises(DataError, match="0 x 8 images is empty"):
        contact_sheet(source, tmp_path / "x.png", rows=0)
    with pytest.raises(DataError, match="no column 'our' to show; the columns are hour"):
        contact_sheet(source, tmp_path / "x.png", captions=["our"])
