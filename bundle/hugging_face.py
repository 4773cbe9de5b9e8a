"""config.json and preprocessor_config.json of a bundle, in the form of Hugging Face models."""

from __future__ import annotations

import json
from typing import Any

from bundle.draft import BundleDraft
from bundle.images.preprocess import PreprocessSpec

_PILLOW_BILINEAR = 2


def model_config(draft: BundleDraft) -> bytes:
    """config.json: the classes and the image size."""
    height, width = draft.stages[-1].preprocess.size
    return _json(
        {
            "model_type": "demur-cascade",
            "num_labels": len(draft.classes),
            "id2label": {str(index): name for index, name in enumerate(draft.classes)},
            "label2id": {name: index for index, name in enumerate(draft.classes)},
            "problem_type": "single_label_classification",
            "image_size": [height, width],
        }
    )


def preprocessor_config(spec: PreprocessSpec) -> bytes:
    """preprocessor_config.json of the last stage; the manifest has that of every stage, exactly."""
    size = {"height": spec.height, "width": spec.width}
    content: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": size,
        "resample": _PILLOW_BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
    if spec.resize == "crop":
        content |= {"size": {"shortest_edge": min(spec.size)}, "do_center_crop": True, "crop_size": size}
    return _json(content)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
