"""`demur events export`: a table of the predictions, each with the label that holds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

import pyarrow as pa

from demur.choices import RowChoice
from demur.commands.events import EventCounts, EventLogs
from demur.commands.table_file import Columns, open_table, require_table
from demur.errors import InterfaceError
from demur.output import run_console, write_json
from monitoring.events import FeedbackEvent, PredictionEvent
from monitoring.windows.latest_labels import LatestLabels
from service.settings import Settings
from trainer.run.console import RunConsole

_TYPES: Final[Mapping[Any, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str | None: pa.string(),
    int | None: pa.int64(),
    float | None: pa.float64(),
}
_OF_PREDICTION: Final = tuple(field.name for field in fields(PredictionEvent))
COLUMNS: Final[Columns] = {
    **{name: _TYPES[get_type_hints(PredictionEvent)[name]] for name in _OF_PREDICTION},
    "label": pa.int64(),
    "label_at": pa.float64(),
    "label_source": pa.string(),
    "wrong": pa.bool_(),
}
ROWS: Final[Mapping[RowChoice, Callable[[LabelledPrediction], bool]]] = {
    "labelled": lambda row: row.label is not None,
    "unlabelled": lambda row: row.label is None,
    "answered": lambda row: row.event.answer is not None,
    "abstained": lambda row: row.event.answer is None,
    "audited": lambda row: row.event.audit,
}
"""Name of a choice -> whether a row belongs to it."""


class UnknownRows(InterfaceError, ValueError):
    """A name chooses no rows."""


@dataclass(frozen=True, slots=True)
class LabelledPrediction:
    """One row: the fields of the prediction, and the label that holds."""

    event: PredictionEvent
    feedback: FeedbackEvent | None

    def __getattr__(self, name: str) -> Any:
        if name in _OF_PREDICTION:
            return getattr(self.event, name)
        raise AttributeError(name)

    @property
    def label(self) -> int | None:
        return None if self.feedback is None else self.feedback.label

    @property
    def label_at(self) -> float | None:
        return None if self.feedback is None else self.feedback.at

    @property
    def label_source(self) -> str | None:
        return None if self.feedback is None else self.feedback.source

    @property
    def wrong(self) -> bool | None:
        """Whether the forced label is not the true one; None without a label."""
        return None if self.label is None else self.label != self.event.predicted


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """Which predictions become rows."""

    only: Sequence[RowChoice] = ()
    """Names of `ROWS`; a row belongs to all of them."""
    bundle: str | None = None
    """`name:version`; None: every bundle."""
    since: float = -math.inf
    until: float = math.inf
    """Unix times, seconds; the first included."""
    least_confident: int | None = None
    """Number of rows of the least confidence; None: all rows, in the order of the logs."""

    def holds(self, row: LabelledPrediction) -> bool:
        event = row.event
        return (
            (self.bundle is None or event.bundle == self.bundle)
            and self.since <= event.at < self.until
            and all(ROWS[name](row) for name in self.only)
        )


def export(settings: Settings, out: Path, choice: ExportChoice, *, as_json: bool) -> None:
    """Write the table `out` (.parquet, .csv or .jsonl). Raises NoEvents, UnknownTableFormat and DiskError."""
    require_table(out)
    console = run_console(as_json)
    labels = LatestLabels(settings.prediction_ttl, settings.parked_ttl)
    first = EventLogs.of(settings)
    counts = EventCounts()
    for batch in first.batches(console, "Reading labels"):
        counts.add(batch)
        labels.add(event for event in batch if isinstance(event, FeedbackEvent))
    rows = (row for row in _rows(EventLogs.of(settings), labels, console) if choice.holds(row))
    written = 0
    with open_table(out, COLUMNS) as table:
        for row in _least_confident(rows, choice.least_confident):
            table.write([row])
            written += 1
    console.note(f"{written:,} of {counts.predictions:,} predictions of {first.model}: {out}")
    if as_json:
        write_json(
            {
                "model": first.model,
                "table": out,
                "rows": written,
                "predictions": counts.predictions,
                "labels": counts.labels,
                "unreadable": first.unreadable,
                "columns": list(COLUMNS),
            }
        )


def row_choices(names: Sequence[str]) -> tuple[RowChoice, ...]:
    """The choices of these names. Raises UnknownRows."""
    for name in names:
        if name not in ROWS:
            raise UnknownRows(f"only is {name!r}; it must be one of {', '.join(ROWS)}")
    return tuple(name for name in ROWS if name in names)


def _rows(logs: EventLogs, labels: LatestLabels, console: RunConsole) -> Iterator[LabelledPrediction]:
    """Every prediction once, since a request that was sent again has the same id."""
    seen: set[str] = set()
    for batch in logs.batches(console, "Writing predictions"):
        for event in batch:
            if isinstance(event, PredictionEvent) and event.request_id not in seen:
                seen.add(event.request_id)
                yield LabelledPrediction(event, labels.of(event))


def _least_confident(
    rows: Iterator[LabelledPrediction], most: int | None
) -> Iterator[LabelledPrediction] | list[LabelledPrediction]:
    if most is None:
        return rows
    return heapq.nsmallest(most, rows, key=lambda row: (row.event.confidence, row.event.request_id))
