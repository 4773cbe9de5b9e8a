"""The folder that a pretraining writes: a backbone in Hugging Face form, and digests of its images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import nn

from trainer.data.images import Notice
from trainer.data.splits import Splits
from trainer.models.normalisation import MeanStd
from trainer.models.pretrained import WeightFolder, quiet
from trainer.pretrain.decoder import DecoderConfig, save_decoder
from trainer.run.folder import read_json, write_json

SEEN_FILE = "pretrained_on.json"
DIGEST_LENGTH = 16
"""Hexadecimal digits kept of the sha256 of an image; two of a million images agree with probability 3e-8"""


def save_backbone(
    folder: Path,
    net: Any,
    own: MeanStd,
    decoder: nn.Module,
    decoder_config: DecoderConfig,
    seen: Sequence[str],
) -> None:
    """Write `net`, without an adapter, and its decoder as a folder that `folder:PATH` reads back.

    own: mean and standard deviation of the pixels that `net` itself reads. seen: sha256 of every image.
    """
    draft = folder / f".weights-{uuid4().hex[:8]}"
    draft.mkdir(parents=True)
    try:
        with quiet():
            net.save_pretrained(draft)
        write_json(draft / "preprocessor_config.json", {"image_mean": own[0], "image_std": own[1]})
        save_decoder(decoder, decoder_config, folder)
        write_json(folder / SEEN_FILE, {"images": sorted(digest[:DIGEST_LENGTH] for digest in seen)})
        for file in sorted(draft.iterdir()):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def images_seen(weights: WeightFolder, content: Collection[str]) -> int:
    """Number of these images (sha256 of their bytes) that the weights were pretrained on.

    0 for weights without that record, which `demur pretrain` writes.
    """
    file = weights.path / SEEN_FILE
    if not file.is_file():
        return 0
    seen = frozenset(read_json(file)["images"])
    return sum(digest[:DIGEST_LENGTH] in seen for digest in content)


def overlap_notices(weights: WeightFolder, content: Sequence[str], splits: Splits) -> Iterator[Notice]:
    """Warnings if the weights were pretrained on images of val_calib or val_test.

    `content`: sha256 of the bytes of every image, in the order of the rows of `splits`.
    """
    for name in ("val_calib", "val_test"):
        rows = getattr(splits, name).tolist()
        seen = images_seen(weights, [content[row] for row in rows])
        if seen:
            yield Notice(
                "pretrained-on",
                f"the backbone was pretrained on {seen:,} of the {len(rows):,} images of {name}: what is "
                "measured on them may be better than on images that were never seen",
            )
