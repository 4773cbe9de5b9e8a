"""What a comparison has finished, on disk, so that one that was killed goes on with the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trainer.compare.figures import Ranked, SeedFigures
from trainer.fit.checkpoint import check_fingerprint
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.models.pretrained import open_weights
from trainer.run.folder import read_json, write_json


class Cells:
    """One file a method and seed: its figures and answers; one file a method: the rates that were tried.

    `fingerprint`: what must be the same for a kept cell to be the one that would be computed now.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        self._folder = folder
        self._fingerprint = dict(fingerprint)

    def done(self, method: str, seed: int) -> tuple[SeedFigures, Ranked] | None:
        """None where it is still to be trained; `ResumeMismatch` where another comparison wrote it."""
        values = self._read(self._cell(method, seed))
        if values is None:
            return None
        ranked = Ranked(
            np.asarray(values["predictions"], dtype=np.int64),
            np.asarray(values["confidence"], dtype=np.float64),
        )
        return SeedFigures(**values["figures"]), ranked

    def keep(self, figures: SeedFigures, ranked: Ranked) -> None:
        values = {
            "figures": asdict(figures),
            "predictions": ranked.predictions,
            "confidence": ranked.confidence,
        }
        self._write(self._cell(figures.method, figures.seed), values)

    def tried(self, method: str) -> dict[float, EpochMetrics]:
        """Learning rate -> best epoch on val_select, of the rates that were tried so far."""
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


def weights_digest(where: str) -> str:
    """sha256 over the pretrained weights at `folder:PATH` or `hub:OWNER/NAME`."""
    whole = hashlib.sha256()
    for file in sorted(open_weights(where).path.glob("*.safetensors")):
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
