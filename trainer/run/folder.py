"""The folder of one run: the path of each step's file, and atomic writes."""

from __future__ import annotations

import csv
import io
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
from trainer.run.disk import explain_disk_errors
from trainer.run.log import RUN_LOG


class MissingStep(RunError):
    """The file of an earlier step is missing."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of the files of one run, in the order in which the steps write them."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def given(self) -> Path:
        """The configuration as it was given, before anything was chosen or planned: to train again with a
        change."""
        return self.root / "given.yaml"

    @property
    def log(self) -> Path:
        """Everything that the run printed, and its progress once a minute."""
        return self.root / RUN_LOG

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
        """Scores, gate and certificate on a further engine and precision, under the same names."""
        return RunFolder(self.root / "engines" / key.replace("/", "-"))

    def adapter(self, name: str) -> Path:
        """Folder of a stage's adapter, if one was trained; model.onnx holds it merged."""
        return self.stage(name) / "adapter"

    def features(self, name: str) -> Path:
        """Folder of a pretrained stage's features of the training images; may be removed after the run."""
        return self.stage(name) / "features"

    @property
    def model_weights(self) -> Path:
        return self.root / "model_best.safetensors"

    @property
    def gate_weights(self) -> Path:
        return self.root / "gate_best.safetensors"

    def scores(self, split: str) -> Path:
        """Raw outputs of every stage on one split, computed on the serving path."""
        return self.root / "scores" / f"{split}.parquet"

    @property
    def signals(self) -> Path:
        """What images of val_select look like: the reference of the drift signals."""
        return self.root / "scores" / "signals.json"

    @property
    def record(self) -> Path:
        """Inputs of the run: enough to repeat the later steps and to write the bundle again."""
        return self.root / "run.json"

    @property
    def golden(self) -> Path:
        """A few encoded images, the candidates for the bundle's golden cases."""
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
    def intended_ledger(self) -> Path:
        """ledger.json with a charge that is being entered in the user's ledger."""
        return self.root / "ledger.intended.json"

    @property
    def withdrawn(self) -> Path:
        """Ledger entries whose certificates were withdrawn, with the time."""
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
        """`path`; raises `MissingStep` with the verb that writes it."""
        if not path.is_file():
            raise MissingStep(f"{path} is not there; `{step}` writes it")
        return path


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new one."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write plain values and NumPy arrays as indented JSON, with keys in their order."""
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
    """Write a table: floats with six significant digits, None as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    write_bytes(path, text.getvalue().encode())
