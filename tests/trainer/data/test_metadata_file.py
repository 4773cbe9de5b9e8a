"""Names in metadata.csv and metadata.jsonl stay what was written: different names are different groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.data.config import DataConfig
from trainer.data.metadata_file import typed
from trainer.data.source import UnreadableSource, open_source

Writer = Callable[[dict[str, bytes | str]], Path]

NAMES = {
    "19 digits": ["1234567890123456781", "1234567890123456782"],
    "19 digits beside a gap": ["1234567890123456781", "1234567890123456782", ""],
    "20 digits": ["98765432109876543210", "98765432109876543211"],
    "underscores": ["1_11", "11_1"],
    "exponents": ["1e3", "1000", "10e2", "1E3"],
    "leading zeros": ["7", "07", "007"],
    "signs": ["7", "+7"],
    "decimals": ["1.1", "1.10", "1.100"],
    "more digits than float64 holds": ["0.12345678901234567890", "0.12345678901234567891"],
    "hexadecimal": ["0x1F", "31"],
    "infinity": ["inf", "Infinity"],
    "digits of another script": ["7", "\u0667"],
    "blanks at the end": ["a", "a ", "a  ", "a\t"],
    "blanks before": ["a", " a"],
    "blanks around digits": ["7", " 7", "7 "],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_different_names_are_different_groups(write_folder: Writer, names: list[str]) -> None:
    rows = [f"{index}.png,{index % 2},{name}" for index, name in enumerate(names)]
    files = {f"{index}.png": f"{index}" for index in range(len(names))}
    root = write_folder({"metadata.csv": "file_name,label,drive\n" + "\n".join(rows), **files})
    groups = open_source(DataConfig(source=f"folder:{root}", group="drive")).groups
    assert groups is not None
    assert [name for name, written in zip(groups, names, strict=True) if written] == [n for n in names if n]
    assert len(set(groups.tolist())) == len(names)


def test_blanks_that_pad_a_column_belong_to_no_name(write_folder: Writer) -> None:
    rows = "1.png, yes, a \n2.png, no, a\n3.png,yes,b"
    root = write_folder({"metadata.csv": f"file_name, label, drive\n{rows}", "1.png": "1"})
    source = open_source(DataConfig(source=f"folder:{root}", group="drive"))
    assert source.class_names == ("no", "yes")
    assert source.groups is not None
    assert source.groups.tolist() == ["a ", "a", "b"]
    (notice,) = [notice for notice in source.notices if notice.code == "names-alike"]
    assert "'a' and 'a '" in notice.message


def test_blanks_around_numbers_mean_nothing_where_numbers_are_read(write_folder: Writer) -> None:
    root = write_folder({"metadata.csv": "file_name,label\n1.png, 1\n2.png,0\n3.png,0 \n4.png, "})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert source.labels.tolist() == [1, 0, 0, -1]
    assert source.label_faults == {3: "the label is missing"}


def test_names_of_classes_keep_their_blanks(write_folder: Writer) -> None:
    root = write_folder({"metadata.csv": "file_name,label\n1.png,cat\n2.png,cat \n3.png,dog"})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert source.class_names == ("cat", "cat ", "dog")
    assert any(notice.code == "names-alike" for notice in source.notices)


def test_json_keeps_blanks_and_a_name_of_blanks_alone_is_missing(write_folder: Writer) -> None:
    lines = [f'{{"file_name": "{row}.png", "drive": "{name}"}}' for row, name in enumerate(("a", "a ", "  "))]
    root = write_folder({"metadata.jsonl": "\n".join(lines)})
    groups = open_source(DataConfig(source=f"folder:{root}", group="drive")).groups
    assert groups is not None
    assert groups.tolist() == ["a", "a ", "(none) 2"]


def test_json_numbers_stay_as_they_are_written(write_folder: Writer) -> None:
    lines = [f'{{"file_name": "{name}.png", "drive": {name}}}' for name in ("1.10", "1.1", "1e3", "1000")]
    root = write_folder({"metadata.jsonl": "\n".join(lines)})
    groups = open_source(DataConfig(source=f"folder:{root}", group="drive")).groups
    assert groups is not None
    assert groups.tolist() == ["1.10", "1.1", "1e3", "1000"]


def test_plain_numbers_are_numbers() -> None:
    assert typed(["7", "12"]).dtype == np.int64
    np.testing.assert_array_equal(typed(["7", "", "nan", "0.5"]), [7, np.nan, np.nan, 0.5])


def test_class_names_are_exact(write_folder: Writer) -> None:
    root = write_folder({"metadata.csv": "file_name,label\n1.png,07\n2.png,7\n3.png,07"})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert source.class_names == ("07", "7")
    assert source.labels.tolist() == [0, 1, 0]


def test_names_of_columns_and_files_as_spreadsheets_write_them(write_folder: Writer) -> None:
    """Spaces behind commas, the file's name in capitals, separators of Windows."""
    root = write_folder({"METADATA.CSV": "file_name, drive id\r\nx\\1.png, a\r\n", "x/1.png": b"1"})
    source = open_source(DataConfig(source=f"folder:{root}", group="drive id"))
    assert source.read(0) == b"1"
    assert source.groups is not None
    assert source.groups.tolist() == ["a"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_as_such(write_folder: Writer, name: str, encoding: str) -> None:
    root = write_folder({name: "file_name,label\n1.png,0".encode(encoding)})
    with pytest.raises(UnreadableSource, match="is UTF-16 text; save it as UTF-8"):
        open_source(DataConfig(source=f"folder:{root}"))


def test_another_encoding_is_said_with_the_place(write_folder: Writer) -> None:
    root = write_folder({"metadata.csv": "file_name,label\n1.png,größer".encode("latin-1")})
    with pytest.raises(UnreadableSource, match="cannot be read as UTF-8 text: byte 24 is 0xf6"):
        open_source(DataConfig(source=f"folder:{root}"))


def test_a_nul_in_a_name_is_a_fault_of_its_image(write_folder: Writer) -> None:
    root = write_folder({"metadata.jsonl": '{"file_name": "a\\u0000b.png"}'})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert source.digest()
    with pytest.raises(UnreadableSource, match=r"'a\\x00b\.png' cannot be read"):
        source.read(0)
