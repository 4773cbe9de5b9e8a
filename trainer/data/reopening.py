"""The images of a finished run, found again and compared with what the run was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.data.splits import Splits
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, read_json
from trainer.run.record import RunRecord


class SourceChanged(RunError):
    """The data is not, byte for byte, what the run was made from."""


def reopen(
    run: RunFolder, record: RunRecord, given: Mapping[str, Any], console: RunConsole
) -> tuple[ImageSource, Splits]:
    """The run's images without those that it left out, and its splits.

    `given`: arguments of `open_source`, `spec` among them, for what the run's record does not say or
    what has moved; None says nothing. Raises `SourceChanged`.
    """
    how = _recorded(record) | {name: value for name, value in given.items() if value is not None}
    spec = how.pop("spec", None)
    if spec is None:
        raise RunError(f"{run.record} does not say where the images are; give them with --data")
    with console.bar("Opening the images", 1) as bar:
        source = open_source(
            spec, **how, on_progress=lambda done, total: bar.at(done, total, "Rendering street scenes")
        )
        bar.at(len(source), len(source))
    dropped = set(read_json(run.faults).get("dropped", ())) if run.faults.is_file() else set()
    if dropped:
        source = source.take(np.flatnonzero([path not in dropped for path in source.paths]))
    if source.digest() != record.provenance.data_digests.get("source"):
        raise SourceChanged(
            f"{spec} is not what {run.root} was made from: images, labels, groups or their order differ. "
            "Give the same --data, --group and --label-column as then"
        )
    return source, Splits.from_dict(read_json(run.need(run.splits, "demur train")))


def _recorded(record: RunRecord) -> dict[str, Any]:
    """The arguments of `open_source` with which a training run opened its images."""
    data = record.provenance.config.get("data")
    if not isinstance(data, dict):
        return {}
    names = ("group", "image_column", "label_column", "class_names", "label_map", "classes")
    how: dict[str, Any] = {name: data[name] for name in names if data.get(name) is not None}
    how["spec"] = data["source"]
    if str(data["source"]).partition(":")[0] == "scenes":
        from trainer.scenes import SceneOptions

        how["scenes"] = SceneOptions.model_validate(data["scenes"])
    return how
