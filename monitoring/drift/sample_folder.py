"""Sample folder: the signals of the images that were looked at, on disk, shared by the workers of a service.

    open.jsonl           rows of the window that fills, one image each
    windows/             closed windows, SINCE-UNTIL.json.gz, with what was concluded from them
    latest.json          the last conclusion

Plain files, because the comparison must outlive a worker, a restart and a lost store. They hold numbers only,
no image and no name of a unit.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from calibration.drift.signals import SignalRow, SignalSample

_MOST_BYTES: Final = 16 * 2**20
"""Size of the open window beyond which rows are refused"""
_MOST_CATEGORIES: Final = 2**31


@dataclass(frozen=True, slots=True)
class SampledRow:
    """The signals of one image that was drawn."""

    unit: str
    """Key of the unit in its time window"""
    number: float
    """Of several rows of one unit the one with the smallest number counts"""
    at: float
    """Unix time, seconds"""
    row: SignalRow
    with_unit: bool = False
    """Whether the client named the unit"""

    def to_line(self) -> bytes:
        values = {
            "unit": self.unit,
            "number": self.number,
            "at": self.at,
            "with_unit": self.with_unit,
            "numbers": dict(self.row.numbers),
            "categories": dict(self.row.categories),
            "right": self.row.right,
            "embedding": self.row.embedding,
        }
        # A number that is not finite becomes null.
        return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_line(cls, line: bytes) -> SampledRow:
        """Raises ValueError, KeyError or TypeError for another line, such as one that was cut short."""
        values: Any = orjson.loads(line)
        numbers = {str(name): _number(value) for name, value in values["numbers"].items()}
        categories = {str(name): int(value) for name, value in values["categories"].items()}
        if not all(0 <= value < _MOST_CATEGORIES for value in categories.values()):
            raise ValueError("a category is no class")
        vector = values["embedding"]
        embedding = None if vector is None else [_number(value) for value in vector]
        row = SignalRow(numbers, categories, _number(values["right"]), embedding)
        return cls(
            str(values["unit"]), float(values["number"]), float(values["at"]), row, bool(values["with_unit"])
        )


@dataclass(frozen=True, slots=True)
class Window:
    """Images of a closed window, each of another unit."""

    since: float
    until: float
    """Unix times of its first and last image"""
    with_units: bool
    """Whether all units were named"""
    sample: SignalSample


def drift_folder(data_dir: Path, label: str) -> Path:
    """Folder of the samples of one bundle, `name:version`, in the data folder of a service."""
    return data_dir / "drift" / label.replace(":", "-")


def forget_unused(data_dir: Path, since: float) -> None:
    """Remove the samples of bundles that have had no new ones since a Unix time. Raises OSError."""
    for lock in (data_dir / "drift").glob("*/lock"):
        newest = max(path.stat().st_mtime for path in lock.parent.iterdir())
        if newest < since:
            shutil.rmtree(lock.parent)


class SampleFolder:
    """The samples of one bundle; any number of threads and processes may use it. Methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = folder / "open.jsonl"
        self._windows = folder / "windows"
        self._latest = folder / "latest.json"

    def append(self, rows: Sequence[SampledRow]) -> int:
        """Add rows to the open window; the number of those that found room."""
        with self._locked():
            if self._open.exists() and self._open.stat().st_size > _MOST_BYTES:
                return 0
            with self._open.open("ab") as file:
                file.write(b"".join(row.to_line() for row in rows))
        return len(rows)

    @property
    def waiting(self) -> int:
        """Units in the open window."""
        return len(_by_unit(self._rows()))

    def take(self, least: int, most: int) -> Window | None:
        """Close the open window; None if it holds fewer than `least` units. At most `most` are kept, at
        random."""
        with self._locked():
            units = _by_unit(self._rows())
            if len(units) < least:
                return None
            self._open.unlink()
        # The keys are random, so the first of them in their order are a random choice.
        kept = [units[key] for key in sorted(units)[:most]]
        times = [one.at for one in kept]
        return Window(
            min(times),
            max(times),
            all(one.with_unit for one in kept),
            SignalSample.of([one.row for one in kept]),
        )

    def keep(self, window: Window, conclusion: Mapping[str, Any], most_age: float) -> None:
        """Keep a closed window with its conclusion, and forget those of more than `most_age` seconds before
        it."""
        values = {
            "since": window.since,
            "until": window.until,
            "with_units": window.with_units,
            "sample": window.sample.to_values(),
            "conclusion": conclusion,
        }
        content = gzip.compress(orjson.dumps(values), compresslevel=6)
        _write(self._windows / f"{round(window.since)}-{round(window.until)}.json.gz", content)
        _write(self._latest, orjson.dumps(conclusion, option=orjson.OPT_INDENT_2))
        for _, until, path in self._closed():
            if until < window.until - most_age:
                path.unlink(missing_ok=True)

    def latest(self) -> dict[str, Any] | None:
        """The last conclusion; None without one, or if the file is damaged."""
        with suppress(OSError, ValueError):
            values = orjson.loads(self._latest.read_bytes())
            return values if isinstance(values, dict) else None
        return None

    def closed(
        self, wanted: Callable[[float, float], bool] = lambda since, until: True
    ) -> Iterator[tuple[Window, dict[str, Any]]]:
        """Closed windows with their conclusions, the oldest first; damaged ones are left out.

        `wanted`: whether a window of these times is read, which costs some milliseconds.
        """
        for since, until, path in self._closed():
            if not wanted(since, until):
                continue
            with suppress(OSError, EOFError, ValueError, KeyError, TypeError):
                values = orjson.loads(gzip.decompress(path.read_bytes()))
                yield (
                    Window(
                        float(values["since"]),
                        float(values["until"]),
                        bool(values["with_units"]),
                        SignalSample.from_values(values["sample"]),
                    ),
                    dict(values["conclusion"]),
                )

    def _closed(self) -> list[tuple[int, int, Path]]:
        """(first time, last time, file) of each closed window, by its last time."""
        found = []
        for path in self._windows.glob("*-*.json.gz"):
            since, _, until = path.name.partition(".")[0].partition("-")
            if since.isdecimal() and until.isdecimal():
                found.append((int(since), int(until), path))
        return sorted(found, key=lambda window: window[1])

    def _rows(self) -> Iterator[SampledRow]:
        """The rows of the open window; a line that was cut short is left out."""
        try:
            lines = self._open.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                yield SampledRow.from_line(line)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _by_unit(rows: Iterator[SampledRow]) -> dict[str, SampledRow]:
    """The row of each unit that counts."""
    units: dict[str, SampledRow] = {}
    for row in rows:
        if row.unit not in units or row.number < units[row.unit].number:
            units[row.unit] = row
    return units


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _write(path: Path, content: bytes) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
