"""Numbers of draws, and the tables that the Monte Carlo tests print."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest


@pytest.fixture(scope="session")
def draws() -> Callable[[int, int], int]:
    """`draws(few, full)`: the full number with DEMUR_SLOW=1, else few."""
    full_run = os.environ.get("DEMUR_SLOW") == "1"
    return lambda few, full: full if full_run else few


@pytest.fixture(scope="session")
def print_table() -> Callable[[str, Sequence[str], Sequence[Sequence[object]]], None]:
    """Print rows under a title and a header (shown with -s, or where a test fails)."""

    def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [
            [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in [header, *rows]
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        print(f"\n{title}")
        for row in cells:
            first, *rest = zip(row, widths, strict=True)
            print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]))

    return show
