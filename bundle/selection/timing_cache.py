"""The cache of a bundle's timings on this machine, in small files, so that the next start is quick.

There is one file per bundle version and machine. A file that cannot be read or written costs time, but
never a start: everything in it can be measured again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.system.machine import Machine

Say = Callable[[str], None]

_FOLDER = "engines"
_KEPT = 50
"""Number of files; the oldest are removed first."""


class TimingRecord(BaseModel):
    """The timings of one bundle on one machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bundle: str
    """Version of the bundle."""
    machine: str
    """`Machine.digest`."""
    seconds: dict[str, tuple[dict[int, Annotated[float, Field(gt=0, allow_inf_nan=False)]], ...]] = {}
    """Engine and precision -> for each stage, batch size -> seconds per image."""


class TimingCache:
    """The records in one data folder; without a folder nothing is kept."""

    def __init__(self, data_dir: Path | None, say: Say = lambda _: None) -> None:
        self._folder = None if data_dir is None else data_dir / _FOLDER
        self._say = say

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A lock on the cache: of several workers one measures, and the others wait and read its timings."""
        if self._folder is None:
            yield
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._say(f"no timing can be kept in {self._folder}: {error.strerror}")
            yield
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:  # some network file systems lock nothing
                self._say(f"{self._folder} cannot be locked: {error.strerror}")
            yield
        finally:
            os.close(lock)

    def load(self, version: str, machine: Machine) -> TimingRecord:
        """The record; an empty one if there is none, or if it is damaged, which is reported."""
        empty = TimingRecord(bundle=version, machine=machine.digest)
        path = self._path(empty)
        if path is None or not path.is_file():
            return empty
        try:
            record = TimingRecord.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            self._say(f"{path} is damaged and will be replaced: {str(error).splitlines()[0]}")
            return empty
        if (record.bundle, record.machine) != (empty.bundle, empty.machine):
            self._say(f"{path} is about another bundle or machine and will be replaced")
            return empty
        return record

    def save(self, record: TimingRecord) -> None:
        """Write the record atomically, or report why that is not possible."""
        path = self._path(record)
        if path is None:
            return
        draft = path.with_suffix(f".{token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n")
            draft.replace(path)
            self._remove_oldest()
        except OSError as error:
            self._say(
                f"{path} cannot be written, so it is measured again at the next start: {error.strerror}"
            )

    def _remove_oldest(self) -> None:
        assert self._folder is not None  # noqa: S101 - something has just been written there
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_KEPT]:
            file.unlink(missing_ok=True)

    def _path(self, record: TimingRecord) -> Path | None:
        return None if self._folder is None else self._folder / f"{record.bundle}-{record.machine}.json"
