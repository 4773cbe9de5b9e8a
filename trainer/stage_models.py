"""The models of a run: those that its configuration names, and the start of stage B that `auto` chooses."""

from __future__ import annotations

from dataclasses import replace

from trainer.config import TrainConfig, resolved
from trainer.planning.backbone_choice import (
    AUTO,
    SCRATCH,
    Situation,
    choose_backbone,
    recorded_choice,
    trained_images,
)
from trainer.planning.pretrained_recipe import StageModels, planned_size, resolve_backbone, resolve_models
from trainer.planning.recipe import SHARE_OF_B
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder


def named_models(config: TrainConfig) -> StageModels:
    """The models that the configuration names; missing weights are refused before any image is read."""
    stages = (config.recipe.stage_a, config.recipe.stage_b)
    model_a, model_b = (None if stage is None else stage.model for stage in stages)
    backbone = config.backbone if config.names_backbone else None
    return resolve_models(model_a, model_b, backbone, config.adapt)


def with_backbone(
    config: TrainConfig, models: StageModels, images: tuple[int, int], run: RunFolder, console: RunConsole
) -> tuple[TrainConfig, StageModels]:
    """The models with the backbone that `auto` chooses, and the input size of a pretrained one.

    images: their number, and their pixels per side. An interrupted run in the folder keeps its choice.
    """
    if config.recipe.stage_b is not None:
        return config, models
    count, size = images
    seconds = 60 * config.minutes * SHARE_OF_B
    if config.backbone == AUTO:
        chosen = recorded_choice(run.config, resolved(config)["data"])
        chosen = chosen or choose_backbone(Situation(count, size, config.minutes, seconds))
        console.note(chosen.sentence)
        model_b = None if chosen.backbone == SCRATCH else resolve_backbone(chosen.backbone, chosen.adapt)
        config, models = config.model_copy(update={"chosen": chosen}), replace(models, stage_b=model_b)
    if models.stage_b is None:
        return config, models
    return config, replace(models, size_b=planned_size(models.stage_b, size, trained_images(count), seconds))
