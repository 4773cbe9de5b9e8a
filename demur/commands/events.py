"""The event logs that `demur events` reads: of one model, of every worker, beside the running service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from demur.errors import InterfaceError
from monitoring.delivery.event_lines import kind_of
from monitoring.delivery.log_reader import LogReader, log_folders
from monitoring.events import Event
from service.settings import Settings
from trainer.run.console import RunConsole

EVENTS: Final = "events"
"""Folder of the logs in the data folder; it has a folder for each model."""
_ADVANCED: Final = 1000
"""Number of events between two moves of the bar."""


class NoEvents(InterfaceError):
    """There is no event log where one is looked for."""


@dataclass(frozen=True, slots=True)
class EventLogs:
    """The logs of one model."""

    model: str
    readers: Sequence[LogReader]

    @classmethod
    def of(cls, settings: Settings) -> EventLogs:
        """The logs in the settings' data folder, of their model or of the only one. Raises NoEvents."""
        parent = settings.data_dir / EVENTS
        models = sorted(folder.name for folder in parent.glob("*") if folder.is_dir())
        if not models:
            raise NoEvents(
                f"there are no event logs in {parent}; name the data folder of the service with --data-dir"
            )
        if settings.model is not None and settings.model not in models:
            raise NoEvents(f"model is {settings.model!r}; the logs in {parent} are of {', '.join(models)}")
        if settings.model is None and len(models) > 1:
            raise NoEvents(f"the logs in {parent} are of {', '.join(models)}; name one with --model")
        model = settings.model or models[0]
        readers = [LogReader(folder) for folder in log_folders(parent / model)]
        if not readers:
            raise NoEvents(f"no worker has written events into {parent / model} yet")
        return cls(model, readers)

    @property
    def unreadable(self) -> int:
        """Lines met so far that are no event."""
        return sum(reader.unreadable for reader in self.readers)

    def batches(self, console: RunConsole, title: str) -> Iterator[list[Event]]:
        """All events, one worker's after another's, some at a time, with a bar."""
        with console.bar(title, sum(reader.count() for reader in self.readers), unit="events") as bar:
            for reader in self.readers:
                batch: list[Event] = []
                for event in reader.events():
                    batch.append(event)
                    if len(batch) == _ADVANCED:
                        yield batch
                        bar.advance(len(batch))
                        batch = []
                if batch:
                    yield batch
                    bar.advance(len(batch))
            bar.finish()


@dataclass(slots=True)
class EventCounts:
    """Number of events by kind."""

    predictions: int = 0
    labels: int = 0

    def add(self, events: Sequence[Event]) -> None:
        kinds = Counter(map(kind_of, events))
        self.predictions += kinds["prediction"]
        self.labels += kinds["feedback"]

    def __str__(self) -> str:
        return f"{self.predictions:,} predictions and {self.labels:,} labels"
