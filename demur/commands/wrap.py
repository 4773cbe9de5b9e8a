"""`demur wrap`: the images opened, and one or two models certified on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.bundling.wrap import ModelInput, wrap
from trainer.data.config import DataConfig
from trainer.data.source import open_source
from trainer.run.console import RunConsole
from trainer.run.promise import PromiseConfig


def wrap_models(
    models: Sequence[ModelInput],
    data: DataConfig,
    promise: Mapping[str, Any],
    out: Path,
    *,
    name: str,
    seed: int,
) -> None:
    """Certify `models` (the strong one, then the fast one if there is one) and write the run to `out`.

    `promise`: fields of `PromiseConfig` that differ from the defaults; None is no difference. Raises as
    `trainer.bundling.wrap.wrap` and `trainer.data.source.open_source` do.
    """
    images = open_source(
        data.source,
        group=data.group,
        label_column=data.label_column,
        image_column=data.image_column,
        class_names=data.class_names,
        scenes=data.scenes,
    )
    wrap(
        images,
        models[0],
        out,
        RunConsole(),
        fast=models[1] if len(models) > 1 else None,
        promise=PromiseConfig().changed(promise),
        name=name,
        data=data.model_dump(mode="json"),
        skip_bad=data.skip_bad,
        seed=seed,
    )
