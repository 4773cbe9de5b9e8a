"""Progress of a promotion: a line per gate and step, and the wait of now."""

from __future__ import annotations

import io

from rich.console import Console

from demur.commands.fleet import moment
from demur.commands.promotion_progress import Progress
from deploy.gates.outcome import GateResult
from deploy.promotion.events import Event

AT = 1_790_000_000.0
WAIT = Event(
    AT, "waits", "canary", 0, "canary 5 % waits", waits_for="12 of at least 200 units", until=AT + 60
)
PASSED = GateResult("guardrail risk", "passed", "worse by .01 [low]", 0.012345, 0.05)


def printed(terminal: bool, *events: Event) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, color_system=None)
    with Progress(console) as progress:
        for event in events:
            progress(event)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_gate_is_a_line_with_outcome_figure_and_limit() -> None:
    result = Event(AT, "result", "canary", 0, "guardrail risk: passed", PASSED)
    began = Event(AT, "began", "canary", 0, "canary 5 % begins (generation 4)", until=AT + 7200)
    ended = Event(AT, "rolled-back", "rolled-back", 0, "promotion p is rolled-back (generation 5): too slow")
    said = printed(False, began, result, ended).splitlines()
    assert said == [
        f"canary 5 % begins (generation 4), until {moment(AT + 7200)} at the latest",
        "  guardrail risk       passed       0.01235 (limit: 0.05): worse by .01 [low]",
        "promotion p is rolled-back (generation 5): too slow",
    ]


def test_elsewhere_than_on_a_terminal_a_wait_is_said_once_per_step_and_minute() -> None:
    said = printed(False, WAIT, WAIT, WAIT)
    assert said == f"  waits for 12 of at least 200 units, until {moment(AT + 60)}\n"
    assert "\x1b" not in said


def test_on_a_terminal_the_wait_is_one_line_that_changes() -> None:
    later = Event(AT, "waits", "canary", 0, "", waits_for="a name [with] brackets", until=None)
    said = printed(True, WAIT, later)
    assert "waits for a name [with] brackets" in said
    assert "\n  waits" not in said
    assert moment(0.0) == "1970-01-01 00:00:00 UTC"
