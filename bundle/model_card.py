"""The files of a bundle that people and other tools read: model card, Hugging Face style configs."""

from __future__ import annotations

import json
from typing import Any

from bundle.draft import BundleDraft
from bundle.images.preprocess import PreprocessSpec

_PILLOW_BILINEAR = 2


def model_card(draft: BundleDraft) -> str:
    """README.md: what the model promises, tells apart and was made from."""
    sections = [
        "---\nlibrary_name: demur\npipeline_tag: image-classification\n"
        "tags:\n- selective-classification\n---",
        f"# {draft.name}",
        draft.task,
        "## What it promises\n\n" + _promises(draft),
        "## What it tells apart\n\n" + "\n".join(f"- {k}: {name}" for k, name in enumerate(draft.classes)),
        "## How to use it\n\n"
        "```\ndemur verify DIR\ndemur inspect DIR\ndemur serve --bundle DIR\n"
        "demur predict --bundle DIR --data folder:IMAGES --out decisions.parquet\n```\n\n"
        "`answer` is an answer; `abstain` is for a person to look at.",
        "## How it is built\n\n" + _stages(draft),
    ]
    if draft.evaluation:
        rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(draft.evaluation.items()))
        sections.append("## Measured on images it never saw\n\n| figure | value |\n|---|---|\n" + rows)
    if draft.provenance.source or draft.provenance.notices:
        notices = "".join(f"\n- {notice}" for notice in draft.provenance.notices)
        sections.append(f"## Where it comes from\n\n{draft.provenance.source}\n{notices}".rstrip())
    return "\n\n".join(sections) + "\n"


def model_config(draft: BundleDraft) -> bytes:
    """config.json: the classes, as Hugging Face models state them."""
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
    """preprocessor_config.json of the last stage; the manifest has every stage's, exactly."""
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


def _promises(draft: BundleDraft) -> str:
    if not draft.certificates:
        return "Nothing: no certificate was computed, so every image is abstained on."
    return "\n".join(f"- {entry.key}: {entry.certificate.sentence()}" for entry in draft.certificates)


def _stages(draft: BundleDraft) -> str:
    rows = [
        f"| {name} | {stage.preprocess.height} x {stage.preprocess.width} | {stage.parameters:,} "
        f"| {stage.macs / 1e6:,.1f} |"
        for name, stage in zip("AB", draft.stages, strict=False)
    ]
    return "| stage | input | parameters | million MACs an image |\n|---|---|---|---|\n" + "\n".join(rows)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
