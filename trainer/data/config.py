"""Configuration of the data: where the labelled images come from, and how they are split."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.data.splits import SplitSizes
from trainer.scenes import SceneOptions


class DataConfig(BaseModel):
    """Where the labelled images come from and how their columns are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = "scenes"
    """`scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`"""
    group: str | None = None
    """Column that names what belongs together (drive, track, burst)."""
    image_column: str = "image"
    label_column: str | None = None
    """None: `label`, where there is one."""
    class_names: tuple[str, ...] = ()
    label_map: dict[str, int] | None = None
    """Raw label as text -> class 0..K-1"""
    classes: int = Field(default=2, ge=2, le=256)
    skip_bad: bool = False
    """Go on without images that cannot be used, and record which."""
    scenes: SceneOptions = SceneOptions(sequences=6_000)
    """For `scenes` only."""


class SplitConfig(BaseModel):
    """How many units (groups, or images where there are no groups) the evaluation splits get.

    All three or none: by default the certificate's needs decide. Training gets the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    val_select: int | None = Field(default=None, ge=0)
    val_calib: int | None = Field(default=None, ge=0)
    val_test: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [self.val_select, self.val_calib, self.val_test]
        if None in given and any(size is not None for size in given):
            raise ValueError("name the sizes of val_select, val_calib and val_test, or none of them")
        return self

    def sizes(self) -> SplitSizes | None:
        """None where the certificate's needs decide."""
        if self.val_select is None or self.val_calib is None or self.val_test is None:
            return None
        return SplitSizes(self.val_select, self.val_calib, self.val_test)
