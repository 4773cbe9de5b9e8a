"""Files in which the workers of one service keep their metrics, so that a scrape of any of them shows all.

Every process counts in files of its own (`prometheus_client`'s multiprocess mode). The files of dead workers
are added up into one pair of files, so a scrape takes as long after two hundred deaths as after the first. A
lock keeps a scrape from seeing a count in both places or in none.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Self

import structlog
from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_LOCK: Final = "lock"
_SUMS: Final = ("counter", "histogram")
"""Kinds of files whose values outlive their process; those of gauges, all of a `live` mode, do not."""
_DEAD: Final = "dead"
"""Stands in the place of a process id."""
_MERGE_PATIENCE: Final = 0.2
"""Seconds for which the parent waits for a scrape to end; afterwards the files wait for the next merge."""
_SCRAPE_PATIENCE: Final = 1.0
"""Seconds for which a scrape waits for a merge of a few milliseconds; only a stopped parent takes longer."""
_POLL: Final = 0.002

logger = structlog.get_logger("demur.metrics")


@contextmanager
def shared_metrics() -> Iterator[WorkerFiles]:
    """Folder in which the metrics of worker processes add up; they must be spawned inside the context."""
    with tempfile.TemporaryDirectory(prefix="demur-metrics-") as folder:
        # prometheus_client reads it when a worker imports it; this process has imported it already.
        os.environ[_VARIABLE] = folder
        before = values.ValueClass
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        try:
            yield WorkerFiles(Path(folder))
        finally:
            values.ValueClass = before
            del os.environ[_VARIABLE]


class WorkerFiles(Collector):
    """The files of all workers; a collector of their metrics."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dead: set[int] = set()
        """Workers whose files are not merged yet"""

    @classmethod
    def of_this_service(cls) -> Self | None:
        """The files of the service that this process belongs to; None if the process shares no metrics."""
        folder = os.environ.get(_VARIABLE)
        return None if folder is None else cls(Path(folder))

    def collect(self) -> Iterable[Metric]:
        """The metrics of all workers, dead ones included."""
        with self._locked(fcntl.LOCK_SH, _SCRAPE_PATIENCE):
            files = [str(file) for file in self._folder.glob("*.db") if _holds_values(file)]
            metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics

    def forget(self, pid: int) -> None:
        """Drop the gauges of a worker that has ended, and add its counts to those of other dead ones.

        Called by one process, the workers' parent. Raises nothing: what cannot be merged now, because a
        scrape goes on or the disk is full, still counts and is tried again with the next worker.
        """
        mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        self._dead.add(pid)
        # Another process may have the number of a dead one by now, and go on counting in its files.
        ended = {one for one in self._dead if not _runs(one)}
        try:
            with self._locked(fcntl.LOCK_EX, _MERGE_PATIENCE) as locked:
                if locked:
                    for kind in _SUMS:
                        self._merge(kind, ended)
                    self._dead -= ended
        except OSError as error:
            logger.warning("metrics_not_merged", workers=len(self._dead), error=str(error))

    def _merge(self, kind: str, pids: Iterable[int]) -> None:
        """Move the values of dead processes to the file of all of them. Raises OSError, with none lost."""
        files = [file for pid in pids if (file := self._folder / f"{kind}_{pid}.db").exists()]
        if not files:
            return
        sums: defaultdict[str, float] = defaultdict(float)
        merged = self._folder / f"{kind}_{_DEAD}.db"
        for file in (merged, *files):
            for key, value in _values(file).items():
                sums[key] += value
        # Not through a memory map, which would end this process where the disk is full.
        fresh = self._folder / "merging"
        fresh.write_bytes(_content(sums))
        fresh.replace(merged)
        for file in files:
            file.unlink()

    @contextmanager
    def _locked(self, kind: int, patience: float) -> Iterator[bool]:
        """Whether the folder is locked, shared or for one process alone. The lock dies with its process."""
        with (self._folder / _LOCK).open("ab") as lock:
            yield _acquired(lock, kind, time.monotonic() + patience)


def _acquired(lock: IO[bytes], kind: int, give_up: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(_POLL)
        else:
            return True


def _holds_values(file: Path) -> bool:
    """False for the files of a worker that starts, which have no first byte for a moment, and for gauges of a
    dead one, which go without a lock."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _values(file: Path) -> dict[str, float]:
    """Key -> value of a dead process' file; empty for one that its process could not begin or has torn."""
    if not file.exists() or not file.stat().st_size:
        return {}
    try:
        entries = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
        return {key: value for key, value, _, _ in entries}
    except (RuntimeError, UnicodeDecodeError, struct.error) as error:
        logger.error("metrics_unreadable", file=file.name, error=str(error))
        return {}


def _content(sums: Mapping[str, float]) -> bytes:
    """A file as `MmapedDict` reads it: its used length; for each key its length, itself and its value."""
    entries = []
    for key, value in sums.items():
        encoded = key.encode()
        # With the length in front of it, a key ends at a multiple of eight bytes.
        padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
        entries.append(struct.pack(f"i{len(padded)}sdd", len(encoded), padded, value, 0.0))
    body = b"".join(entries)
    return struct.pack("i4x", 8 + len(body)) + body
