"""Console output of a run: headings, notes, warnings and one progress bar per step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

NoticeLevel = Literal["info", "warning"]


class _Rate(ProgressColumn):
    """Units per second, for example `412 images/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s", style="progress.data.speed")


class Bar:
    """Progress of one step."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, n: int) -> None:
        """Count n more units as done."""
        self._progress.advance(self._task, n)

    def at(self, done: int, total: int, description: str | None = None) -> None:
        """Set the number of units done, and a total that may have changed."""
        self._progress.update(self._task, completed=done, total=total, description=description)

    def finish(self, description: str | None = None) -> None:
        """Set the total to the number of units done."""
        done = self._progress.tasks[self._progress.task_ids.index(self._task)].completed
        self._progress.update(self._task, total=max(done, 1), completed=max(done, 1), description=description)


class RunConsole:
    """Headings, notes and bars of one run on one terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console()
        self._started = monotonic()

    def heading(self, text: str) -> None:
        elapsed = monotonic() - self._started
        self.console.print(f"[bold]{text}[/bold] [dim]({elapsed:.0f} s)[/dim]")

    def note(self, text: str) -> None:
        # The terminal wraps long lines, so that they can be copied whole.
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning between empty lines, in colour, with the word in front."""
        self.console.print()
        self.console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False)
        self.console.print()

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
        )
        with progress:
            yield Bar(progress, progress.add_task(description, total=total))
