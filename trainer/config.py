"""Configuration of one training run: a YAML file with overrides from the command line, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bundle.policy import NAME_PATTERN
from trainer.choices import Adapt, AugmentLevel, CheckpointSelection, NamedTask
from trainer.data.config import DataConfig, SplitConfig
from trainer.errors import RunError
from trainer.fit.device import ComputeConfig
from trainer.planning.backbone_choice import AUTO, SCRATCH, BackboneChoice
from trainer.planning.recipe import PartialRecipe
from trainer.run.promise import PromiseConfig

PLANNING = ("minutes", "mirror", "augment", "backbone", "adapt")
"""Fields that plan the stages missing from `recipe`."""
Config = TypeVar("Config", bound=BaseModel)


class ConfigError(RunError):
    """The configuration has faults; the message lists every one of them."""


class TrainConfig(BaseModel):
    """All inputs of a run. The resolved configuration is written to the run folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="demur", pattern=NAME_PATTERN)
    """Name of the bundle."""
    task: NamedTask | None = None
    """A reference task, whose own figures the reports then hold: `roadwork` has a reward. None: no such
    task, unless the data are its."""
    seed: int = Field(default=0, ge=0)
    """Random seed of splits and training; the same seed gives the same result."""
    data: DataConfig = DataConfig()
    """The labelled images, and how their columns are read."""
    splits: SplitConfig = SplitConfig()
    """Units per evaluation split; training gets the rest."""
    promise: PromiseConfig = PromiseConfig()
    """What is promised, and how it is proven."""
    minutes: float = Field(default=12.0, gt=0.0)
    """Planned minutes of training for both stages together, on two cores."""
    mirror: bool | None = None
    """Train on mirrored images too; None: only if a check finds that left and right do not matter."""
    augment: AugmentLevel = "degraded"
    """Strength of the augmentation, see `trainer.fit.augment`."""
    checkpoint_selection: CheckpointSelection = "augrc"
    """Criterion on val_select by which the best epoch is kept."""
    compute: ComputeConfig = ComputeConfig()
    """Device, precision and determinism of training."""
    backbone: str = AUTO
    """Start of stage B: `auto` chooses, see `trainer.planning.backbone_choice`; `none` is a network from
    random weights; or pretrained: efficientnet-lite0 (extra `imagenet`), `folder:PATH` or
    `hub:OWNER/NAME`."""
    adapt: Adapt | None = None
    """Trained weights of `backbone`: `lora`, `dora`, `head` or `full`; the default suits its kind."""
    chosen: BackboneChoice | None = None
    """What `auto` chose; a run writes it here, and keeps it when it is resumed."""
    recipe: PartialRecipe = PartialRecipe()
    """The stages in full; a missing stage is planned from the data and `minutes`."""

    @field_validator("backbone", mode="before")
    @classmethod
    def _scratch_has_two_names(cls, backbone: Any) -> Any:
        return SCRATCH if backbone in (None, "scratch") else backbone

    @model_validator(mode="after")
    def _names_stage_b_once(self) -> Self:
        if self.names_backbone and self.recipe.stage_b is not None:
            raise ValueError("backbone and recipe.stage_b both say what stage B is; name one of them")
        if self.adapt is not None and not self.names_backbone:
            raise ValueError(
                f"adapt is {self.adapt!r} with backbone {self.backbone!r}; name the pretrained backbone "
                "whose weights it is about"
            )
        return self

    @property
    def named_task(self) -> NamedTask | None:
        """The reference task: `task`, or that of the data."""
        return self.task or self.data.named_task

    @property
    def names_backbone(self) -> bool:
        """Whether `backbone` names pretrained weights."""
        return self.backbone not in (AUTO, SCRATCH)


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a training run, see `read_as`.

    Raises `ConfigError` also for an override that plans stages if the file gives both in full. A seed in
    `overrides` replaces the seeds of the stages too.
    """
    config = read_as(TrainConfig, path, overrides)
    if overrides.get("seed") is not None:
        config = config.model_copy(update={"recipe": config.recipe.seeded(config.seed)})
    idle = [name for name in PLANNING if overrides.get(name) is not None]
    if idle and path is not None and config.recipe.stage_a is not None and config.recipe.stage_b is not None:
        raise ConfigError(
            f"{', '.join(idle)} would change nothing: {path} gives both stages in full. Take `recipe` out of "
            "it to have them planned again, or change them there"
        )
    return config


def read_as(kind: type[Config], path: Path | None, overrides: Mapping[str, Any]) -> Config:
    """The values of the file with `overrides` (dotted field -> value) on top; `ConfigError` lists all faults.

    An override of None changes nothing, so a command line can pass options that were not given.
    """
    values: dict[str, Any] = {} if path is None else _read_yaml(path)
    for name, value in overrides.items():
        if value is not None:
            _set(values, name, value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_all_faults(error, path)) from None


def resolved(config: TrainConfig) -> dict[str, Any]:
    """Plain values of every field, defaults included."""
    return config.model_dump(mode="json")


def given(config: TrainConfig) -> dict[str, Any]:
    """Plain values of the fields that differ from their defaults."""
    return config.model_dump(mode="json", exclude_defaults=True)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"config {path} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"config {path} holds {type(values).__name__}; it must be a mapping of fields")
    return values


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = values.get(parent)
        values[parent] = dict(inner) if isinstance(inner, dict) else {}
        values = values[parent]
    values[last] = value


def _all_faults(error: ValidationError, path: Path | None) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"]) or "config"
        missing = fault["type"] == "missing"
        faults.append(
            f"  {field} is missing" if missing else f"  {field} is {fault['input']!r}: {fault['msg']}"
        )
    where = "the configuration" if path is None else str(path)
    return f"{where} has {len(faults)} fault(s):\n" + "\n".join(faults)
