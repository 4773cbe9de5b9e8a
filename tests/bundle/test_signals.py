"""Drift signals of an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.referenced_bundle import colour_model_with_embedding
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, colour_image, tiny_draft

from bundle.engines.contract import ModelUnfit
from bundle.engines.model import open_model
from bundle.loader import load_bundle
from bundle.runner import CascadeRunner
from bundle.signals import EMBEDDING_WIDTH, observe, output_rows, projected
from bundle.writer import write_bundle
from calibration.decision import OperatingPoint, StageRule
from calibration.scores import StageOutputs


@pytest.mark.parametrize(
    ("strength", "answered", "stage"), [(ANSWERED_BY_A, 1, 0), (ANSWERED_BY_B, 1, 1), (ABSTAINED, 0, 1)]
)
def test_the_decision_and_the_scores_of_every_stage(
    tiny_bundle: Path, strength: float, answered: int, stage: int
) -> None:
    runner = load_bundle(tiny_bundle).runner
    image = colour_image(1, strength)
    row = observe(runner, image)
    (decision,) = runner.decide([image])
    assert row.categories == {"answered": answered, "predicted": 1, "stage": stage}
    assert row.right == max(decision.probabilities)
    assert row.embedding is None
    assert {"brightness", "bytes_per_pixel", "margin_a", "margin_b", "gate_b"} < set(row.numbers)
    assert "gate_a" not in row.numbers
    # Both margins are there, whichever stage decided.
    assert 0.0 < row.numbers["margin_a"] < row.numbers["margin_b"]


def test_an_embedding_is_read_where_the_model_has_one(tmp_path: Path) -> None:
    draft = tiny_draft()
    stage_b = replace(draft.stages[1], models={"fp32": colour_model_with_embedding(32, 8.0)})
    write_bundle(replace(draft, stages=(draft.stages[0], stage_b)), tmp_path / "bundle")
    runner = load_bundle(tmp_path / "bundle").runner
    assert not runner.stages[0].model.has_embedding
    assert runner.stages[1].model.has_embedding
    row = observe(runner, colour_image(1, ANSWERED_BY_A))
    assert row.embedding is not None
    assert len(row.embedding) == 3
    assert int(np.argmax(row.embedding)) == 0  # the red channel
    (decision,) = runner.decide([colour_image(1, ANSWERED_BY_A)])
    assert decision.label == 1


def test_an_embedding_is_no_main_output() -> None:
    model = onnx.load_from_string(colour_model_with_embedding(16, 5.0))
    del model.graph.output[:2]
    with pytest.raises(ModelUnfit, match="logits"):
        open_model(model.SerializeToString(), image_size=(16, 16))


def test_scores_that_are_not_finite_have_a_row() -> None:
    outputs = StageOutputs(np.array([[np.nan, 1.0], [0.0, 2.0]]))
    bad, good = output_rows([outputs], OperatingPoint((StageRule(threshold=1.0),)))
    assert bad.categories["answered"] == 0
    assert np.isnan(bad.numbers["margin_a"])
    assert good.categories == {"answered": 1, "predicted": 1}


def test_a_runner_that_cannot_decide_is_refused(tiny_bundle: Path) -> None:
    stages = load_bundle(tiny_bundle).runner.stages
    with pytest.raises(ValueError, match="operating point"):
        observe(CascadeRunner(stages), colour_image(1, 0.9))


class TestProjection:
    def test_a_long_embedding_keeps_its_distances(self) -> None:
        vectors = np.random.default_rng(0).normal(size=(40, 768))
        short = projected(vectors)
        assert short.shape == (40, EMBEDDING_WIDTH)
        before = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)[np.triu_indices(40, 1)]
        after = np.linalg.norm(short[:, None] - short[None], axis=-1)[np.triu_indices(40, 1)]
        ratio = after / before * np.sqrt(768 / EMBEDDING_WIDTH)
        assert 0.95 < ratio.mean() < 1.05

    def test_it_is_the_same_everywhere(self) -> None:
        """Golden: a bundle made today is compared with vectors of a later version."""
        found = projected(np.arange(64, dtype=np.float64)[None])[0]
        np.testing.assert_allclose(found[:4], GOLDEN, atol=1e-9)

    def test_a_short_one_stays(self) -> None:
        vectors = np.ones((2, 5))
        assert projected(vectors) is vectors


GOLDEN = [-8.0, 44.0, -24.0, 19.5]
