"""Choice of stage B's start for `backbone: auto`: pretrained weights that are at hand, or random ones.

The rule, in this order (the figures behind it are in docs/backbones.md):

1. Without weights at hand, random weights. At hand are, in this order: an installed EfficientNet, the folder
   that `DEMUR_WEIGHTS` names, the hub.
2. Many small crops (`SMALL_IMAGE`, `MANY_IMAGES`): random weights, since the fine detail that pretrained
   kernels know is not in them, and a small network sees each of them many more times in the same minutes.
3. Pretrained weights, trained in full (a transformer: through LoRA) if `FEWEST_EPOCHS` passes fit in the
   minutes at some input size, else with a frozen backbone if one pass fits.
4. Random weights otherwise.

It reads the number and size of the images and the minutes, never a label.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from trainer.choices import Adapt
from trainer.models.efficientnet import VARIANTS, MissingExtra, weight_file
from trainer.models.pretrained import HUB_BACKBONE, at_hub
from trainer.planning.pretrained_recipe import (
    FEWEST_EPOCHS,
    adapt_of,
    forward_seconds,
    resolve_backbone,
    sizes,
)

AUTO, SCRATCH = "auto", "none"
"""Values of `backbone` beside the names of weights"""
WEIGHTS_VARIABLE = "DEMUR_WEIGHTS"

SMALL_IMAGE = 40
"""Pixels per side up to which images are small crops"""
MANY_IMAGES = 10_000
"""Number of small crops from which random weights do better"""
TRAINED_SHARE = 0.6
"""Share of the images that training gets, about; the splits are not known yet"""

FROM_SCRATCH = "--backbone none (random weights: cheaper to serve)"


class BackboneChoice(BaseModel):
    """What `auto` chose, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    """`none`, or a name for `backbone`"""
    adapt: Adapt | None = None
    reason: str = ""
    others: tuple[str, ...] = ()
    """Options that could be tried instead, each with its effect"""

    @property
    def sentence(self) -> str:
        """`Stage B starts from ...: why`, with what else could be tried."""
        start = "random weights" if self.backbone == SCRATCH else self.backbone
        how = {"head": ", frozen", "full": ", every weight trained"}.get(self.adapt or "", "")
        others = f" Other choices: {'; '.join(self.others)}." if self.others else ""
        return f"Stage B starts from {start}{how}: {self.reason}.{others}"


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts that the choice reads."""

    images: int
    """Labelled images of the source"""
    image_size: int
    """Pixels per side of the images"""
    minutes: float
    """Planned minutes of training"""
    seconds_b: float
    """Seconds of them for stage B"""

    @property
    def n_train(self) -> int:
        return trained_images(self.images)

    def minutes_for(self, seconds_b: float) -> int:
        """Whole minutes of training whose share for stage B is at least `seconds_b`."""
        return int(seconds_b * self.minutes / self.seconds_b) + 1


@dataclass(frozen=True, slots=True)
class AtHand:
    """Pretrained weights that were found, or what would bring some."""

    backbone: str | None
    found: str
    """Where they are, or why there are none and what brings them"""


def trained_images(images: int) -> int:
    """Images that training gets of so many, about."""
    return max(1, round(TRAINED_SHARE * images))


def choose_backbone(situation: Situation, find: Callable[[], AtHand] | None = None) -> BackboneChoice:
    """The start of stage B. `find`: looks for weights, by default on this machine."""
    images, minutes = f"{situation.images:,} images", f"{situation.minutes:g} minutes"
    if situation.images >= MANY_IMAGES and situation.image_size <= SMALL_IMAGE:
        why = (
            f"on {images} of {situation.image_size} px, many small crops, a small network learns more in its "
            "minutes"
        )
        return BackboneChoice(backbone=SCRATCH, reason=why)
    at_hand = (find or weights_at_hand)()
    if at_hand.backbone is None:
        return BackboneChoice(backbone=SCRATCH, reason=at_hand.found)
    name, model = at_hand.backbone, resolve_backbone(at_hand.backbone, None)
    size = sizes(model, situation.image_size)[0]
    look = situation.n_train * forward_seconds(model, size)
    more = f"--minutes {situation.minutes_for(3 * FEWEST_EPOCHS * look)}"
    if situation.seconds_b >= 3 * FEWEST_EPOCHS * look:
        why = f"{at_hand.found}, and {minutes} are enough to train all of them on {images}"
        return BackboneChoice(backbone=name, adapt=adapt_of(model.config), reason=why, others=(FROM_SCRATCH,))
    if situation.seconds_b >= look:
        why = f"{at_hand.found}; {minutes} are enough to train heads on them, not all weights, on {images}"
        longer = f"{more} (trains all weights: more accurate)"
        return BackboneChoice(backbone=name, adapt="head", reason=why, others=(longer, FROM_SCRATCH))
    why = f"{minutes} are too short for one pass of {name} over {images}"
    longer = f"--backbone {name} {more} (pretrained: mostly more accurate)"
    return BackboneChoice(backbone=SCRATCH, reason=why, others=(longer,))


def recorded_choice(config: Path, data: Mapping[str, Any]) -> BackboneChoice | None:
    """The choice in the `config.yaml` of an interrupted run on the same data; None if there is none."""
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
        if values["data"] != data or values["chosen"] is None:
            return None
        return BackboneChoice.model_validate(values["chosen"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


def weights_at_hand() -> AtHand:
    """The first weights that are there: an installed EfficientNet, `DEMUR_WEIGHTS`, the hub."""
    missing = ""
    for name in VARIANTS:
        try:
            weight_file(name)
        except MissingExtra as error:
            missing = missing or str(error)
            continue
        return AtHand(name, f"its ImageNet weights are installed (extra `{VARIANTS[name].extra}`)")
    if folder := os.environ.get(WEIGHTS_VARIABLE, "").strip():
        return AtHand(f"folder:{folder}", f"{WEIGHTS_VARIABLE} names its weights")
    if at_hub(HUB_BACKBONE):
        return AtHand(f"hub:{HUB_BACKBONE}", "the hub has its weights")
    return AtHand(
        None,
        f"no pretrained weights are at hand ({missing}; {WEIGHTS_VARIABLE} names no folder of weights, and "
        "the hub does not answer)",
    )
