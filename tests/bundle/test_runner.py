"""The runner decides as the rule decides, and computes stage B for no image that stage A answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.tiny_bundle import (
    ABSTAINED,
    ANSWERED_BY_A,
    ANSWERED_BY_B,
    CHANNELS,
    colour_image,
    colour_images,
    colour_model,
    tiny_draft,
)

from bundle.engines.model import open_model
from bundle.images.decode import DecodeLimits, decode
from bundle.images.errors import TooManyPixels, TruncatedImage
from bundle.images.preprocess import PreprocessSpec, preprocess
from bundle.runner import CascadeRunner, CascadeStage
from calibration.decision import OperatingPoint, decide
from calibration.scores import StageOutputs


class CountingEngine:
    """A real model that records the size of each batch."""

    def __init__(self, model: bytes) -> None:
        self._engine = open_model(model)
        self.name = self._engine.name
        self.classes = self._engine.classes
        self.image_size = self._engine.image_size
        self.has_gate = self._engine.has_gate
        self.seen: list[int] = []

    def run(self, batch: np.ndarray) -> StageOutputs:
        self.seen.append(len(batch))
        return self._engine.run(batch)


def cascade(classes: int = 2) -> tuple[list[CascadeStage], list[CountingEngine], OperatingPoint]:
    draft = tiny_draft(classes=classes)
    engines = [
        CountingEngine(bytes(stage.models["fp32"]))
        for stage in draft.stages  # type: ignore[arg-type]
    ]
    for engine in engines:
        engine.seen.clear()
    stages = [
        CascadeStage(stage.preprocess, engine, stage.macs)
        for stage, engine in zip(draft.stages, engines, strict=True)
    ]
    return stages, engines, draft.certificates[0].operating_point


IMAGES = [candidate.data for candidate in colour_images(per_kind=2)]


def test_stage_b_sees_only_what_stage_a_leaves() -> None:
    stages, engines, point = cascade()
    run = CascadeRunner(stages, point).run(IMAGES)
    assert run.computed == (12, 8)
    assert [sum(engine.seen) for engine in engines] == [12, 8]
    assert [decision.stage for decision in run.decisions] == ["A", "A", "B", "B", "B", "B"] * 2
    assert [decision.decision for decision in run.decisions] == (["answer"] * 4 + ["abstain"] * 2) * 2
    assert [decision.label for decision in run.decisions] == [0] * 4 + [None] * 2 + [1] * 4 + [None] * 2


def test_a_stage_that_answers_nothing_is_not_computed() -> None:
    stages, engines, point = cascade()
    idle = replace(point, stages=(replace(point.stages[0], threshold=None), point.stages[1]))
    runner = CascadeRunner(stages, idle, batch_size=4)
    run = runner.run(IMAGES)
    assert run.computed == (0, 12)
    assert [sum(engine.seen) for engine in engines] == [0, 12]
    assert run.macs_saved == 0.0
    assert list(run.decisions) == decide(runner.score_all(IMAGES), idle)


def test_the_last_stage_is_computed_even_where_nothing_is_answered() -> None:
    stages, engines, point = cascade()
    silent = replace(point, stages=tuple(replace(rule, threshold=None) for rule in point.stages))
    run = CascadeRunner(stages, silent).run(IMAGES[:2])
    assert [sum(engine.seen) for engine in engines] == [0, 2]
    assert [decision.decision for decision in run.decisions] == ["abstain"] * 2


def test_work_saved_is_counted_against_the_last_stage_alone() -> None:
    stages, _, point = cascade()
    run = CascadeRunner(stages, point).run(IMAGES)
    assert run.macs == 12 * 1e6 + 8 * 1e7
    assert run.macs_saved == pytest.approx(1 - 92 / 120)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_decides_as_the_certified_rule_decides(classes: int, threads: int, batch_size: int) -> None:
    images = [candidate.data for candidate in colour_images(per_kind=2, classes=classes)]
    stages, _, point = cascade(classes)
    runner = CascadeRunner(stages, point, threads=threads, batch_size=batch_size)
    expected = decide(runner.score_all(images), point)
    for found, wanted in zip(runner.decide(images), expected, strict=True):
        assert (found.decision, found.label, found.stage) == (wanted.decision, wanted.label, wanted.stage)
        assert found.prediction_set == wanted.prediction_set
        assert found.probabilities == pytest.approx(wanted.probabilities, abs=1e-6)


def test_scores_come_in_order_and_are_the_models() -> None:
    stages, _, _ = cascade()
    runner = CascadeRunner(stages, threads=2, batch_size=3)
    for index, stage in enumerate(stages):
        outputs = runner.score(index, IMAGES)
        assert outputs.logits.dtype == np.float64
        for row, image in enumerate(IMAGES):
            tensor = preprocess(decode(image, target=(32, 32)), stage.preprocess)
            mean = tensor.mean(axis=(1, 2))[list(CHANNELS[:2])]
            assert outputs.logits[row] == pytest.approx((5.0, 8.0)[index] * mean, abs=1e-4)
    assert runner.score(1, IMAGES).gate is not None
    assert runner.score(0, IMAGES).gate is None


def test_pixels_and_bytes_give_the_same() -> None:
    stages, _, point = cascade()
    runner = CascadeRunner(stages, point)
    pixels = [runner.pixels(image) for image in IMAGES]
    assert runner.decide(pixels) == runner.decide(IMAGES)


def test_one_stage() -> None:
    draft = tiny_draft(stages=1)
    engine = open_model(bytes(draft.stages[0].models["fp32"]))  # type: ignore[arg-type]
    stage = CascadeStage(draft.stages[0].preprocess, engine, 5.0)
    run = CascadeRunner([stage], draft.certificates[0].operating_point).run(IMAGES)
    assert run.computed == (12,)
    assert (run.macs, run.macs_saved) == (60.0, 0.0)
    assert {decision.stage for decision in run.decisions} == {"A"}


def test_images_are_decoded_for_the_largest_stage() -> None:
    stages, _, point = cascade()
    large = colour_image(1, ANSWERED_BY_A, size=(512, 512))
    assert CascadeRunner(stages, point).pixels(large).shape == (64, 64, 3)


def test_limits_hold() -> None:
    stages, _, point = cascade()
    runner = CascadeRunner(stages, point, limits=DecodeLimits(max_pixels=100))
    with pytest.raises(TooManyPixels):
        runner.decide([colour_image(1, ANSWERED_BY_B)])


def test_a_damaged_image_stops_the_run_by_name() -> None:
    stages, _, point = cascade()
    with pytest.raises(TruncatedImage):
        CascadeRunner(stages, point, threads=2).decide([*IMAGES, colour_image(1, ABSTAINED)[:200]])


class TestMisuse:
    def test_no_images(self) -> None:
        stages, _, point = cascade()
        with pytest.raises(ValueError, match="no images"):
            CascadeRunner(stages, point).decide([])

    def test_deciding_without_an_operating_point(self) -> None:
        with pytest.raises(ValueError, match="cannot decide"):
            CascadeRunner(cascade()[0]).decide(IMAGES)

    def test_a_point_of_another_length(self) -> None:
        stages, _, point = cascade()
        with pytest.raises(ValueError, match="has 2 stages, the cascade 1"):
            CascadeRunner(stages[:1], point)

    def test_three_stages(self) -> None:
        stages, _, _ = cascade()
        with pytest.raises(ValueError, match="one or two stages, not 3"):
            CascadeRunner([*stages, stages[0]])

    @pytest.mark.parametrize("option", ["threads", "batch_size"])
    def test_no_threads(self, option: str) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            CascadeRunner(cascade()[0], **{option: 0})


def test_a_real_engine_fits_the_protocol() -> None:
    spec = PreprocessSpec(height=16, width=16)
    assert CascadeRunner([CascadeStage(spec, open_model(colour_model(16, 1.0)))]).score(0, IMAGES[:1])
