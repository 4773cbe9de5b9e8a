"""The images of a finished run, opened again and compared with those that the run was made from."""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from trainer.data.config import DataConfig, DataOverrides
from trainer.data.images import ImageSource
from trainer.data.opening import open_with_progress
from trainer.data.splits import Splits
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, read_json
from trainer.run.record import RunRecord


class SourceChanged(RunError):
    """The data differs from what the run was made from."""


def reopen(
    run: RunFolder, record: RunRecord, overrides: DataOverrides, console: RunConsole
) -> tuple[ImageSource, Splits]:
    """The images of the run, without those that it left out, and its splits.

    `overrides`: where the images are now, if they have moved or if the record does not say it. Raises
    `SourceChanged` if bytes, labels, groups or their order differ from those of the run.
    """
    data = overrides.applied_to(_recorded(run, record))
    if data is None:
        raise RunError(f"{run.record} does not say where the images are; give them with --data")
    source = open_with_progress(data, console)
    dropped = set(read_json(run.faults).get("dropped", ())) if run.faults.is_file() else set()
    if dropped:
        source = source.take(np.flatnonzero([path not in dropped for path in source.paths]))
    if source.digest() != record.provenance.data_digests.get("source"):
        raise SourceChanged(
            f"{data.source} is not what {run.root} was made from: images, labels, groups or their order "
            "differ. Give the same --data, --group and --label-column as then"
        )
    return source, Splits.from_dict(read_json(run.need(run.splits, "demur train")))


def _recorded(run: RunFolder, record: RunRecord) -> DataConfig | None:
    """How the run opened its images; None if its record does not say it."""
    data = record.provenance.config.get("data")
    if not isinstance(data, dict):
        return None
    try:
        return DataConfig.model_validate(data)
    except ValidationError as error:
        raise RunError(
            f"{run.record} is damaged at provenance.config.data: {error.errors()[0]['msg']}"
        ) from None
