"""Configuration of the data: where the labelled images come from, and how they are split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.choices import NamedTask, SplitOrigin
from trainer.data.splits import SplitSizes
from trainer.scenes import SceneOptions

ROADWORK_DATA = "natix-network-org/roadwork"
"""Data set of the reference task on the hub"""


class DataConfig(BaseModel):
    """Where the labelled images come from and how their columns are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = "scenes"
    """`scenes`, `folder:PATH`, `parquet:PATH`, `hub:OWNER/NAME`, or a path without a scheme"""
    group: str | None = None
    """Metadata column whose images are not independent of each other (drive, track, burst); `none`: every
    image stands alone."""
    image_column: str = "image"
    """Column of the images in parquet files."""
    label_column: str | None = None
    """None: `label` if the source has such a column, otherwise the source is unlabelled."""
    class_names: tuple[str, ...] = ()
    """Names of the classes in the order of their numbers; empty: as in the data."""
    label_map: dict[str, int] | None = None
    """Label as it is in the data, as text -> number of its class, from 0; None: classes by name"""
    classes: int = Field(default=2, ge=2, le=256)
    """Number of classes of a label column of whole numbers without names."""
    splits: SplitOrigin = "drawn"
    """`folders`: the folders of `folder:PATH` are called train, val and test, in any spelling, and are used
    as such."""
    skip_bad: bool = False
    """Continue without unusable images, and record which were left out."""
    scenes: SceneOptions = SceneOptions(sequences=6_000)
    """Options of the built-in generator, for `scenes` only."""

    @property
    def named_task(self) -> NamedTask | None:
        """The reference task that the source is of: the scenes, and the roadwork data set of the hub."""
        scheme, _, place = self.source.partition(":")
        is_roadwork = scheme == "hub" and place.split("@")[0].split("/")[:2] == ROADWORK_DATA.split("/")
        return "roadwork" if is_roadwork or self.source == "scenes" else None


@dataclass(frozen=True, slots=True)
class DataOverrides:
    """Fields of a run's `DataConfig` to replace, for images that have moved; None keeps the run's."""

    source: str | None = None
    group: str | None = None
    label_column: str | None = None
    image_column: str | None = None

    def applied_to(self, recorded: DataConfig | None) -> DataConfig | None:
        """`recorded` with these fields on top; None if neither names a source."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if recorded is not None:
            return recorded.model_copy(update=given)
        return None if self.source is None else DataConfig(**given)


class SplitConfig(BaseModel):
    """Units (groups, or images without groups) per evaluation split; training gets the rest.

    All three sizes or none: by default the needs of the certificate decide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None = Field(default=None, ge=0)
    """Seed of the draw, apart from the seed of training, so that models of several seeds are judged on the
    same images; None: 0."""
    val_select: int | None = Field(default=None, ge=0)
    """Units that choose epochs, scores and the path of thresholds."""
    val_calib: int | None = Field(default=None, ge=0)
    """Units that prove the promise."""
    val_test: int | None = Field(default=None, ge=0)
    """Units that are reported on, once."""

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [self.val_select, self.val_calib, self.val_test]
        if None in given and any(size is not None for size in given):
            raise ValueError("name the sizes of val_select, val_calib and val_test, or none of them")
        return self

    def sizes(self) -> SplitSizes | None:
        """None if the needs of the certificate decide."""
        if self.val_select is None or self.val_calib is None or self.val_test is None:
            return None
        return SplitSizes(self.val_select, self.val_calib, self.val_test)
