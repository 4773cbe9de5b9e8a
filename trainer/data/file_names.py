"""What the names of image files show of groups: folders, prefixes before a number, and numbered frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from calibration.scores import IntArray
from trainer.data.images import Column

FOLDER_COLUMN, PREFIX_COLUMN = "folder", "file_prefix"
"""Names under which `--group` takes the folder of a file, and the part of its name before the last number"""
MOSTLY = 0.5
"""Share of numbered frames from which the files are those of a recording"""

_NUMBERED = re.compile(r"(.*?)[\s_.(-]*[0-9]+\)?", re.DOTALL)
_FRAME = re.compile(
    r"(^|[^a-z])(frame|frm|vid|video|clip|seq|sequence|burst)s?[\s_.-]*[0-9]+$", re.IGNORECASE
)
_ROW = re.compile(r".*\.parquet#[0-9]+", re.IGNORECASE | re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


def name_columns(paths: Sequence[str]) -> dict[str, Column]:
    """Columns [n] that the names of the files give: `folder` and `file_prefix`.

    The prefix of `drive7_frame12.jpg` is `drive7_frame`, that of `IMG_0001.jpg` is `IMG`. Missing ("") where
    there is no folder, or no name before the number. Rows of parquet files without names have none.
    """
    names = [PurePosixPath("" if _ROW.fullmatch(path) else path.replace("\\", "/")) for path in paths]
    folders = ["" if str(name.parent) == "." else str(name.parent) for name in names]
    return {
        FOLDER_COLUMN: np.array(folders, dtype=np.str_),
        PREFIX_COLUMN: np.array([_prefix(name.stem) for name in names], dtype=np.str_),
    }


def numbers_frames(paths: Sequence[str]) -> bool:
    """Whether most names number the frames of a recording: `frame_0001.jpg`, `video3_seq12.png`."""
    framed = sum(_FRAME.search(PurePosixPath(path).stem) is not None for path in paths)
    return framed > MOSTLY * len(paths)


def in_name_order(paths: Sequence[str]) -> IntArray:
    """Rows [n] in the order of their names, numbers by value: `frame_2` before `frame_10`."""
    keys = [
        [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(path)]
        for path in paths
    ]
    return np.array(sorted(range(len(paths)), key=keys.__getitem__), dtype=np.int64)


def _prefix(stem: str) -> str:
    numbered = _NUMBERED.fullmatch(stem)
    return stem if numbered is None else numbered[1]
