"""Progress of a promotion: each gate and step as a line, and what it waits for now and until when."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.status import Status

from demur.commands.fleet import moment
from demur.output import printable
from deploy.gates.outcome import GateResult
from deploy.promotion.events import Event

PLAIN: Final = 60.0
"""Seconds between two lines of one wait, on output that is no terminal"""
_COLOURS: Final = {"passed": "green", "failed": "red", "inconclusive": "yellow"}


class Progress:
    """Told of each event of a promotion, while it is entered. On a terminal the wait of now is one line that
    changes; elsewhere it is printed once a minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._waited: tuple[int, str] | None = None
        self._told = -PLAIN

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._still()

    def __call__(self, event: Event) -> None:
        """Print an event."""
        if event.kind == "waits":
            self._wait(event)
            return
        if event.kind != "result":
            self._still()
        if event.result is not None:
            self._print(result_line(event.result), _COLOURS[event.result.outcome])
        elif event.kind in ("promoted", "rolled-back"):
            self._print(event.text, "bold green" if event.kind == "promoted" else "bold red")
        elif event.kind == "began":
            until = "" if event.until is None else f", until {moment(event.until)} at the latest"
            self._print(f"{event.text}{until}", "bold")
        else:
            self._print(event.text)

    def _wait(self, event: Event) -> None:
        until = "" if event.until is None else f", until {moment(event.until)}"
        text = f"  waits for {event.waits_for or event.text}{until}"
        if self._status is not None:
            self._status.update(printable(text).replace("[", r"\["))
            self._status.start()
        elif self._waited != (event.step, event.phase) or time.monotonic() - self._told >= PLAIN:
            self._waited, self._told = (event.step, event.phase), time.monotonic()
            self._print(text)

    def _still(self) -> None:
        if self._status is not None:
            with suppress(IndexError):
                self._status.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def result_line(result: GateResult) -> str:
    """A gate in one line: its name, outcome, figure, limit and sentence."""
    return gate_line(result.gate, result.outcome, result.figure, result.limit, result.text)


def gate_line(gate: str, outcome: str, figure: Any, limit: Any, text: str) -> str:
    """The same of plain values."""
    measured = "" if figure is None else _number(figure)
    if limit is not None:
        measured = f"{measured} (limit: {_number(limit)})".strip()
    return f"  {gate:<20} {outcome:<12} {': '.join(filter(None, (measured, text)))}"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
