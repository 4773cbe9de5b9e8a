"""Finished cells of a comparison, on disk, so that a killed comparison resumes with the rest.

A cell is one method with one seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trainer.compare.figures import AnswersOnTest, SeedFigures
from trainer.fit.checkpoint import check_fingerprint
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.run.folder import read_json, write_json


class Cells:
    """One file per method and seed with figures and answers, one file per method with the rates tried.

    `fingerprint`: everything that must agree for a stored cell to equal the one that would be computed now.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        self._folder = folder
        self._fingerprint = dict(fingerprint)

    def done(self, method: str, seed: int) -> tuple[SeedFigures, AnswersOnTest] | None:
        """The stored cell, None if there is none yet; `ResumeMismatch` if another comparison wrote it."""
        values = self._read(self._cell(method, seed))
        if values is None:
            return None
        answers = AnswersOnTest(
            np.asarray(values["predictions"], dtype=np.int64),
            np.asarray(values["confidence"], dtype=np.float64),
        )
        return SeedFigures(**values["figures"]), answers

    def keep(self, figures: SeedFigures, answers: AnswersOnTest) -> None:
        values = {
            "figures": asdict(figures),
            "predictions": answers.predictions,
            "confidence": answers.confidence,
        }
        self._write(self._cell(figures.method, figures.seed), values)

    def tried(self, method: str) -> dict[float, EpochMetrics]:
        """Learning rate -> best epoch on val_select, for the rates tried so far."""
        values = self._read(self._search(method)) or {"tried": []}
        return {float(rate): EpochMetrics(**metrics) for rate, metrics in values["tried"]}

    def keep_tried(self, method: str, rate: float, best: EpochMetrics) -> None:
        tried = {**self.tried(method), rate: best}
        self._write(
            self._search(method), {"tried": [[rate, metrics.row()] for rate, metrics in tried.items()]}
        )

    def _cell(self, method: str, seed: int) -> Path:
        return self._folder / f"{method}-seed-{seed}.json"

    def _search(self, method: str) -> Path:
        return self._folder / f"{method}-rates.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        values: dict[str, Any] = read_json(path)
        check_fingerprint(path, values["fingerprint"], self._fingerprint)
        return values

    def _write(self, path: Path, values: dict[str, Any]) -> None:
        write_json(path, {"fingerprint": self._fingerprint, **values})
