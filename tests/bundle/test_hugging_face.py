"""The files of a bundle in the form of Hugging Face models."""

from __future__ import annotations

import json
from pathlib import Path

from fakes.tiny_bundle import tiny_draft

from bundle.hugging_face import preprocessor_config


def test_the_classes_and_the_preprocessing(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_bytes())
    assert config["id2label"] == {"0": "blue", "1": "red"}
    assert config["label2id"] == {"blue": 0, "red": 1}
    processor = json.loads((bundle / "preprocessor_config.json").read_bytes())
    assert processor["size"] == {"height": 32, "width": 32}
    assert processor["image_mean"] == [0.5, 0.5, 0.5]


def test_a_centred_crop() -> None:
    spec = tiny_draft().stages[0].preprocess
    processor = json.loads(preprocessor_config(spec.model_copy(update={"resize": "crop", "height": 24})))
    assert processor["size"] == {"shortest_edge": 16}
    assert processor["crop_size"] == {"height": 24, "width": 16}
