"""Console output of a run: headings, notes, warnings and one progress bar per step, and its log file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from trainer.run.log import RunLog

NoticeLevel = Literal["info", "warning"]
PLAIN_PROGRESS = 60.0
"""Seconds between two lines of progress in the log, and on output that is no terminal."""


class _Rate(ProgressColumn):
    """Units per second, for example `412 images/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s", style="progress.data.speed")


class Bar:
    """Progress of one step: a moving bar on a terminal, and now and then a plain line elsewhere."""

    def __init__(self, progress: Progress, task: TaskID, unit: str, tell: Callable[[str], None]) -> None:
        self._progress = progress
        self._task = task
        self._unit = unit
        self._tell = tell
        self._began = self._told = monotonic()

    def advance(self, n: int) -> None:
        """Count n more units as done."""
        self._progress.advance(self._task, n)
        self._tell_if_due()

    def at(self, done: int, total: int, description: str | None = None) -> None:
        """Set the number of units done, and a total that may have changed."""
        self._progress.update(self._task, completed=done, total=total, description=description)
        self._tell_if_due()

    def finish(self, description: str | None = None) -> None:
        """Set the total to the number of units done."""
        done = self._state.completed
        self._progress.update(self._task, total=max(done, 1), completed=max(done, 1), description=description)

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return monotonic() - self._began

    def line(self) -> str:
        """`Deciding: 1,200 of 15,000 images, 64 s, about 736 s left`"""
        done, total = self._state.completed, self._state.total or 0
        left = self.seconds * (total - done) / done if done else None
        remaining = "" if left is None or done >= total else f", about {left:.0f} s left"
        return (
            f"{self._state.description}: {done:,.0f} of {total:,.0f} {self._unit}, {self.seconds:.0f} s"
            f"{remaining}"
        )

    @property
    def _state(self) -> Task:
        return self._progress.tasks[self._progress.task_ids.index(self._task)]

    def _tell_if_due(self) -> None:
        if monotonic() - self._told >= PLAIN_PROGRESS:
            self._told = monotonic()
            self._tell(self.line())


class RunConsole:
    """Headings, notes and bars of one run on one terminal, and in the log file while one is open."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console()
        self._started = monotonic()
        self._log: RunLog | None = None
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds since this console was made."""
        return monotonic() - self._started

    @property
    def step_seconds(self) -> Mapping[str, float]:
        """Title of each finished bar -> seconds, in the order in which they began."""
        return dict(self._seconds)

    @contextmanager
    def logged_to(self, path: Path) -> Iterator[None]:
        """Inside, everything printed is also appended to the file at `path`, with the time."""
        log = RunLog(path)
        outer, self._log = self._log, log
        try:
            yield
        except BaseException as error:
            log.write(f"ended by {type(error).__name__}: {error}")
            raise
        finally:
            self._log = outer
            log.close()

    def heading(self, text: str) -> None:
        self.console.print(f"[bold]{text}[/bold] [dim]({self.seconds:.0f} s)[/dim]")
        self._write(text)

    def note(self, text: str) -> None:
        # The terminal wraps long lines, so that they can be copied whole.
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
        self._write(f"  {text}")

    def detail(self, text: str) -> None:
        """A note that a moving bar shows as well: it is printed only where there is no terminal."""
        if not self.console.is_terminal:
            self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
        self._write(f"  {text}")

    def warn(self, text: str) -> None:
        """A warning between empty lines, in colour, with the word in front."""
        self.console.print()
        self.console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False)
        self.console.print()
        self._write(f"WARNING: {text}")

    def notice(self, text: str, level: NoticeLevel) -> None:
        """A note or a warning."""
        (self.warn if level == "warning" else self.note)(text)

    @contextmanager
    def bar(self, description: str, total: int, unit: str = "images") -> Iterator[Bar]:
        """A progress bar with rate, elapsed and remaining time."""
        progress = Progress(
            SpinnerColumn("dots" if self.console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description:<25}"),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        with progress:
            bar = Bar(progress, progress.add_task(description, total=total), unit, self.detail)
            try:
                yield bar
            finally:
                self._seconds[description] = self._seconds.get(description, 0.0) + bar.seconds
        self.detail(bar.line())

    def _write(self, text: str) -> None:
        if self._log is not None:
            self._log.write(text)
