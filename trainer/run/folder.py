"""The folder of one training run: where each step leaves its file, and how files are written whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import yaml

from bundle.engines.contract import DEFAULT_PRECISION, file_precision
from trainer.errors import RunError


class MissingStep(RunError):
    """A file that an earlier step leaves is not there."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of the files of one run, in the order in which the steps write them."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def faults(self) -> Path:
        return self.root / "faults.json"

    @property
    def splits(self) -> Path:
        return self.root / "splits.json"

    @property
    def training_metrics(self) -> Path:
        return self.root / "metrics.csv"

    def stage(self, name: str) -> Path:
        """Folder of one stage ("a" or "b"): its checkpoints and its model.onnx."""
        return self.root / f"stage_{name}"

    def onnx(self, name: str, precision: str = "fp32") -> Path:
        file = file_precision(precision)
        return self.stage(name) / ("model.onnx" if file == DEFAULT_PRECISION else f"model.{file}.onnx")

    def on_engine(self, key: str) -> RunFolder:
        """Scores, gate and certificate on a further engine and precision, named as in this folder."""
        return RunFolder(self.root / "engines" / key.replace("/", "-"))

    def adapter(self, name: str) -> Path:
        """Folder of a stage's adapter, where one was trained; it is merged in model.onnx."""
        return self.stage(name) / "adapter"

    def features(self, name: str) -> Path:
        """Folder of what a pretrained stage made of the training images; may be removed after the run."""
        return self.stage(name) / "features"

    @property
    def model_weights(self) -> Path:
        return self.root / "model_best.safetensors"

    @property
    def gate_weights(self) -> Path:
        return self.root / "gate_best.safetensors"

    def scores(self, split: str) -> Path:
        """Raw outputs of every stage on one split, collected on the serving path."""
        return self.root / "scores" / f"{split}.parquet"

    @property
    def record(self) -> Path:
        """What was made from what: enough to run the later steps alone and to write the bundle again."""
        return self.root / "run.json"

    @property
    def golden(self) -> Path:
        """A few encoded images, from which the bundle's golden cases are chosen."""
        return self.root / "golden"

    @property
    def gate(self) -> Path:
        return self.root / "gateparams.json"

    @property
    def thresholds(self) -> Path:
        return self.root / "thresholds.json"

    @property
    def scrc(self) -> Path:
        return self.root / "scrcparams.json"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.json"

    @property
    def withdrawn(self) -> Path:
        """Charges of the ledger whose certificates were withdrawn, and when."""
        return self.root / "withdrawn.json"

    @property
    def certificate(self) -> Path:
        return self.root / "certificate.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    @property
    def report(self) -> Path:
        return self.metrics / "report.json"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    def need(self, path: Path, step: str) -> Path:
        """`path`, or `MissingStep` naming the verb that writes it."""
        if not path.is_file():
            raise MissingStep(f"{path} is not there; `{step}` writes it")
        return path


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Plain values and NumPy arrays as indented JSON; keys keep their order."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    write_bytes(path, orjson.dumps(values, option=options))


def read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise RunError(f"{path} is not valid JSON ({error}); run the step that writes it again") from None


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    write_bytes(path, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Floats with six significant digits; None as an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
