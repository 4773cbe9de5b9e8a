"""Reading event logs beside the process that writes them: nothing is claimed, locked or changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitoring.delivery.event_lines import UnreadableLine, event_of
from monitoring.delivery.event_log import WRITER_FOLDER
from monitoring.delivery.segments import START, Position, Segments
from monitoring.events import Event


def log_folders(parent: Path) -> list[Path]:
    """Folders of the logs of all workers, dead ones among them. Raises OSError."""
    return sorted(folder for folder in parent.glob(f"{WRITER_FOLDER}*") if folder.is_dir())


class LogReader:
    """The events of one log, from its oldest on. Every method may raise OSError."""

    def __init__(self, folder: Path, *, since: float = 0.0) -> None:
        """`since`: Unix time; what was written before may be left out."""
        self.folder = folder
        self.unreadable = 0
        """Lines that are no event: torn by a crash, or damaged."""
        self._segments = Segments(folder)
        self._position = START
        if since:
            *earlier, last = self._segments.numbers() or [0]
            # The last one is written to: whatever its age, it may get what is looked for.
            first = next((number for number in earlier if self._segments.written_at(number) >= since), last)
            self._position = Position(first, 0)

    def count(self) -> int:
        """Number of lines that have not been read."""
        return self._segments.count_lines(self._position)

    def events(self) -> Iterator[Event]:
        """The events that have been written and not read; a later call goes on behind them."""
        numbers = [number for number in self._segments.numbers() if number >= self._position.segment]
        for number in numbers:
            for line in self._lines(number, is_last=number == numbers[-1]):
                try:
                    yield event_of(line)
                except UnreadableLine:
                    self.unreadable += 1

    def _lines(self, number: int, *, is_last: bool) -> Iterator[bytes]:
        offset = self._position.offset if number == self._position.segment else 0
        try:
            segment = self._segments.path(number).open("rb")
        except FileNotFoundError:
            return  # removed meanwhile, because it had become too old
        with segment:
            segment.seek(offset)
            for line in segment:
                if is_last and not line.endswith(b"\n"):
                    return  # it is being written
                offset += len(line)
                self._position = Position(number, offset)
                yield line
