"""Finished runs of a long benchmark, kept beside its record: it may be repeated a row or a seed at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.record import RecordError

RUNS = "runs"
"""Folder of the kept runs below the pages."""


@dataclass(frozen=True)
class KeptRun:
    """One finished run, as a line of the table and as figures to judge."""

    row: str
    seed: int
    date: str
    """ISO date on which it was measured"""
    cells: tuple[str, ...]
    """Of the table, after task, seed and date"""
    figures: Mapping[str, float]


def kept_runs(folder: Path, name: str) -> list[KeptRun]:
    """The runs in `folder`/runs/NAME.json; none if there is no such file. Raises RecordError."""
    path = folder / RUNS / f"{name}.json"
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text("utf-8"))
        return [KeptRun(**{**one, "cells": tuple(one["cells"])}) for one in found]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path.name}: {error}") from error


def keep_runs(folder: Path, name: str, runs: Iterable[KeptRun]) -> None:
    """Write the runs to `folder`/runs/NAME.json."""
    path = folder / RUNS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([asdict(one) for one in runs], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def newest(older: Iterable[KeptRun], later: Iterable[KeptRun], rows: Iterable[str]) -> list[KeptRun]:
    """The older runs, a later one of the same row and seed in the place of an older one; in the order of
    `rows` and seeds. Runs of rows that are not among them are left out."""
    latest = {(run.row, run.seed): run for run in (*older, *later)}
    order = {row: place for place, row in enumerate(rows)}
    kept = (run for run in latest.values() if run.row in order)
    return sorted(kept, key=lambda run: (order[run.row], run.seed))
