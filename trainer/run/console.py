"""What a person sees while a run goes on: headings, one progress bar a step, notes."""

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
    """Units a second, for example `412 images/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s", style="progress.data.speed")


class Bar:
    """One step's progress."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, n: int) -> None:
        """n more units are done."""
        self._progress.advance(self._task, n)

    def at(self, done: int, total: int, description: str | None = None) -> None:
        """So many units are done of a total that may have changed."""
        self._progress.update(self._task, completed=done, total=total, description=description)

    def finish(self, description: str | None = None) -> None:
        """What is done is all that there was to do."""
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
        # A line that the terminal wraps can still be copied whole; one broken here cannot.
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning that cannot be missed: on its own, in colour, with the word in front."""
        self.console.print()
        self.console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False)
        self.console.print()

    def notice(self, text: str, level: NoticeLevel) -> None:
        """A note or a warning."""
        (self.warn if level == "warning" else self.note)(text)

    @contextmanager
    def bar(self, description: str, total: int, unit: str = "images") -> Iterator[Bar]:
        """A bar with rate, time taken and time left."""
        progress = Progress(
            SpinnerColumn(),
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
