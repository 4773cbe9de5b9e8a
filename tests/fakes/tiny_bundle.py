"""A small real bundle in milliseconds: ONNX models that classify images by their mean colour.

Class 0 is blue, 1 is red, 2 is green. `strength` is the contrast of the colour: at .9 stage A answers, at
.4 stage B does, at .05 neither. Everything except the size is real: models, certificate, golden cases,
digests.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bundle.draft import BundleDraft, GoldenCandidate, StageDraft
from bundle.images.preprocess import PreprocessSpec
from bundle.manifest import Provenance
from bundle.policy import CertificateEntry
from bundle.writer import write_bundle
from calibration.certificate import Certificate, PromisedPart
from calibration.decision import OperatingPoint, StageRule

CLASSES = ("blue", "red", "green")
CHANNELS = (2, 0, 1)
ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED = 0.9, 0.4, 0.05
THRESHOLDS = (4.0, 2.5)
GAINS = (5.0, 8.0)
SIDES = (16, 32)
ENGINE = "onnxruntime-cpu"

Rule = Literal["margin", "softmax", "gate", "scrc"]


def colour_image(
    label: int,
    strength: float,
    seed: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    encoding: str = "JPEG",
) -> bytes:
    """An image (height, width) of class `label` with the contrast `strength` in 0..1."""
    height, width = size
    colour = np.full(3, 128.0 - 50.0 * strength)
    colour[CHANNELS[label]] = 128.0 + 100.0 * strength
    noise = np.random.default_rng(seed).normal(0.0, 6.0, (height, width, 3))
    pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, encoding)
    return buffer.getvalue()


def colour_images(per_kind: int = 3, classes: int = 2, seed: int = 0) -> list[GoldenCandidate]:
    """Images of each class and strength, labelled."""
    return [
        GoldenCandidate(colour_image(label, strength, seed + 100 * label + number), label)
        for label in range(classes)
        for strength in (ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
        for number in range(per_kind)
    ]


def colour_model(side: int, gain: float, *, classes: int = 2, gate: bool = False) -> bytes:
    """logits = gain x mean colour of each class's channel; gate = gain x spread of the channels - 2."""
    weights = np.zeros((3, classes), dtype=np.float32)
    for label in range(classes):
        weights[CHANNELS[label], label] = gain
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    initializers = [numpy_helper.from_array(weights, "weights")]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])]
    if gate:
        nodes += [
            helper.make_node("ReduceMax", ["logits"], ["highest"], axes=[1], keepdims=0),
            helper.make_node("ReduceMin", ["logits"], ["lowest"], axes=[1], keepdims=0),
            helper.make_node("Sub", ["highest", "lowest"], ["spread"]),
            helper.make_node("Sub", ["spread", "offset"], ["gate"]),
        ]
        initializers.append(numpy_helper.from_array(np.array([2.0], dtype=np.float32), "offset"))
        outputs.append(helper.make_tensor_value_info("gate", TensorProto.FLOAT, ["batch"]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, side, side])
    graph = helper.make_graph(nodes, "colour", [pixels], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def looping_model(side: int, iterations: int = 10**15, *, classes: int = 2, on_green: bool = False) -> bytes:
    """Logits that pass a loop, so that the model ends after hours, or never; `on_green`: only on images that
    are greener than those of classes 0 and 1, which are all that two classes have."""
    scalar = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    going, still = (helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("going", "still"))
    kept, following = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("kept", "next"))
    steps = [
        helper.make_node("Identity", ["going"], ["still"]),
        helper.make_node("Add", ["kept", "zero"], ["next"]),
    ]
    body = helper.make_graph(steps, "body", [scalar, going, kept], [still, following])
    model = onnx.load_from_string(colour_model(side, 5.0, classes=classes))
    model.graph.node[-1].output[0] = "first"
    constants = {
        "most" if on_green else "iterations": np.array(iterations),
        "always": np.array(True),
        "zero": np.zeros(1, dtype=np.float32),
    }
    if on_green:
        constants |= {"green": np.array(1), "usual": np.array(0.4, dtype=np.float32)}
        model.graph.node.extend(
            [
                helper.make_node("Gather", ["colour", "green"], ["greens"], axis=1),
                helper.make_node("ReduceMax", ["greens"], ["greenest"], keepdims=0),
                helper.make_node("Greater", ["greenest", "usual"], ["endless"]),
                helper.make_node("Cast", ["endless"], ["times"], to=TensorProto.INT64),
                helper.make_node("Mul", ["times", "most"], ["iterations"]),
            ]
        )
    model.graph.node.append(
        helper.make_node("Loop", ["iterations", "always", "first"], ["logits"], body=body)
    )
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return bytes(model.SerializeToString())


def tiny_draft(
    *,
    stages: int = 2,
    classes: int = 2,
    feasible: bool = True,
    rule: Rule = "margin",
    name: str = "tiny",
    engine: str = ENGINE,
    precisions: tuple[str, ...] = ("fp32",),
    certified: tuple[str, ...] = (),
    named_task: str | None = None,
    doubt: str | None = None,
    prevalence: tuple[float, float] | None = None,
) -> BundleDraft:
    """A bundle draft; `rule="scrc"` makes prediction sets and a guarantee in expectation.

    `named_task`: the reference task that its configuration names. `prevalence`: the shares of class 1 at
    which the promise holds.

    `certified`: engines and precisions with a certificate, `engine/fp32` alone where empty.
    """
    point = OperatingPoint(tuple(_rule(index, stages, feasible, rule) for index in range(stages)))
    return BundleDraft(
        name=name,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        task="Tell red images from blue ones.",
        classes=CLASSES[:classes],
        stages=tuple(
            StageDraft(
                models={
                    precision: colour_model(
                        SIDES[index], GAINS[index], classes=classes, gate=index == stages - 1
                    )
                    for precision in precisions
                },
                preprocess=PreprocessSpec(
                    height=SIDES[index], width=SIDES[index], mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
                ),
                macs=1e6 * (1 + 9 * index),
                parameters=3 * classes,
            )
            for index in range(stages)
        ),
        certificates=tuple(
            CertificateEntry(
                engine=key.partition("/")[0],
                precision=key.partition("/")[2],
                certificate=_for_shares(
                    replace(
                        _certificate(point, feasible, expectation=rule == "scrc", engine=key), doubt=doubt
                    ),
                    prevalence,
                ),
                operating_point=point,
            )
            for key in certified or (f"{engine}/fp32",)
        ),
        golden_candidates=colour_images(classes=classes),
        provenance=Provenance(
            source="coloured noise",
            config={} if named_task is None else {"task": named_task},
            seed=0,
            split_digests={"val_calib": "ab" * 32},
        ),
        evaluation={"coverage": 0.75, "error_among_answered": 0.002, "stage_a_share": 0.6},
    )


def write_tiny_bundle(folder: Path, **options: object) -> Path:
    """Write `tiny_draft(**options)` to `folder` and return it."""
    write_bundle(tiny_draft(**options), folder)  # type: ignore[arg-type]
    return folder


def files_of(folder: Path) -> list[str]:
    """Every file of a bundle, relative to its folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _rule(index: int, stages: int, feasible: bool, rule: Rule) -> StageRule:
    last = index == stages - 1
    threshold = THRESHOLDS[index] if stages == 2 else THRESHOLDS[1] / 2
    if rule == "gate" and last:
        return StageRule(score="gate", threshold=0.5 if feasible else None)
    if rule == "scrc" and last:
        return StageRule(
            score="gate", threshold=0.3 if feasible else None, set_threshold=0.2 if feasible else None
        )
    if rule == "softmax":
        threshold = 1.0 / (1.0 + math.exp(-threshold))
        return StageRule(score="softmax", threshold=threshold if feasible else None)
    return StageRule(score="margin", threshold=threshold if feasible else None)


def _for_shares(certificate: Certificate, prevalence: tuple[float, float] | None) -> Certificate:
    if prevalence is None:
        return certificate
    ends = tuple(PromisedPart(f"{100 * share:g} % {CLASSES[1]}", 1100, 900, 2) for share in prevalence)
    return replace(
        certificate,
        method="exact fixed sequence, each end of the prevalence",
        prevalence=prevalence,
        prevalence_of=CLASSES[1:2],
        parts=ends if certificate.feasible else (),
        risk_upper_bound=0.01 if certificate.feasible else None,
    )


def _certificate(point: OperatingPoint, feasible: bool, *, expectation: bool, engine: str) -> Certificate:
    thresholds = tuple(math.inf if rule.threshold is None else rule.threshold for rule in point.stages)
    return Certificate(
        feasible=feasible,
        meets_coverage=feasible,
        method="scrc-t" if expectation else "exact",
        kind="expectation" if expectation else "pac",
        population="image",
        alpha=0.01,
        delta=None if expectation else 0.05,
        n=2000 if feasible else 150,
        answered=1500 if feasible else 0,
        errors=4 if feasible else 0,
        threshold=(thresholds if len(thresholds) == 2 else thresholds[0]) if feasible else None,
        risk_upper_bound=None if expectation or not feasible else 0.0069,
        coverage=0.75 if feasible else 0.0,
        coverage_lower_bound=0.72 if feasible else 0.0,
        split_digest="ab" * 32,
        engine=engine,
        needed=None if feasible else "149 more independent labelled images are needed",
    )
