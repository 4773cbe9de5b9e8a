"""Numbers of draws, the tables that the Monte Carlo tests print, and the records that they write."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from harness.figures import markdown
from harness.record import Recording

Rows = Sequence[Sequence[object]]


@pytest.fixture(scope="session")
def draws() -> Callable[[int, int], int]:
    """`draws(few, full)`: the full number with DEMUR_SLOW=1, else few."""
    full_run = os.environ.get("DEMUR_SLOW") == "1"
    return lambda few, full: full if full_run else few


@pytest.fixture(scope="session")
def print_table() -> Callable[[str, Sequence[str], Rows], str]:
    """Print rows under a title and a header (shown with -s, or if a test fails); the text is returned."""

    def show(title: str, header: Sequence[str], rows: Rows) -> str:
        cells = [_cells(row) for row in [header, *rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        lines = [title]
        for row in cells:
            first, *rest = zip(row, widths, strict=True)
            lines.append("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]))
        text = "\n".join(lines)
        print("\n" + text)
        return text

    return show


@pytest.fixture(scope="session")
def markdown_table() -> Callable[[Sequence[str], Rows], str]:
    """The same rows as a table of Markdown, for a record."""
    return lambda header, rows: markdown(list(header), [_cells(row) for row in rows])


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Recording:
    """Writes records into the folder that DEMUR_RECORD names (docs/measurements), if it names one."""
    folder = os.environ.get("DEMUR_RECORD")
    test = request.path.relative_to(request.config.rootpath)
    return Recording.begin(Path(folder) if folder else None, f"DEMUR_SLOW=1 pytest -m slow -s {test}")


def _cells(row: Sequence[object]) -> list[str]:
    return [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
