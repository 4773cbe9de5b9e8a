"""Log of a run: plain lines with their time, in a file that outlives the terminal."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

RUN_LOG: Final = "run.log"


class RunLog:
    """Lines appended to one file; a disk that takes no more ends the log, not the run."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO | None = None
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, text: str) -> None:
        """Append `2026-11-30T20:15:00+00:00 TEXT`; of several lines each with the time."""
        if self._file is None:
            return
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            self._file.write("".join(f"{now} {line}\n" for line in text.splitlines() if line.strip()))
        except OSError:
            self.close()

    def close(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        self._file = None
