"""What a run says of its time before training, and what it compares at its end."""

from __future__ import annotations

import pytest

from trainer.models import ResolvedModel
from trainer.planning.recipe import PlanInputs, Recipe, default_recipe
from trainer.planning.time_plan import SCORING, SECONDS_OF_THE_REST, TEACHER, TRAINING, TimePlan, plan_time


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return default_recipe(PlanInputs(n_train=2000, image_size=64, minutes=6.0))


def planned(recipe: Recipe, *, n_scored: int = 3000, decode_seconds: float = 0.01) -> TimePlan:
    models = (ResolvedModel(recipe.stage_a.model), ResolvedModel(recipe.stage_b.model))
    return plan_time(recipe, models, n_train=2000, n_scored=n_scored, decode_seconds=decode_seconds)


def test_the_loops_share_the_minutes(recipe: Recipe) -> None:
    plan = planned(recipe)
    assert sum(step.seconds for step in plan.training) == pytest.approx(360)
    assert plan.sentence().startswith(
        "Training takes at most 6.0 minutes by plan (stage B 4.2, stage A 1.8);"
    )


def test_scoring_decodes_every_image_of_the_evaluation_splits_again(recipe: Recipe) -> None:
    (scores,) = planned(recipe).further
    assert scores.seconds == pytest.approx(30, rel=0.3)
    (more,) = planned(recipe, n_scored=6000).further
    assert more.seconds == pytest.approx(2 * scores.seconds)


def test_a_pretrained_teacher_runs_over_the_training_images(recipe: Recipe) -> None:
    class Pretrained(ResolvedModel):
        is_pretrained = True  # type: ignore[assignment]

    models = (ResolvedModel(recipe.stage_a.model), Pretrained(recipe.stage_b.model))
    plan = plan_time(recipe, models, n_train=2000, n_scored=0, decode_seconds=0.0)
    assert [step.title for step in plan.further] == [TEACHER, SCORING]
    assert plan.further[0].seconds > 0
    assert "outputs of stage B" in plan.sentence()


def test_planned_and_used_stand_side_by_side(recipe: Recipe) -> None:
    steps = {
        "Decoding": 60.0,
        f"{TRAINING} B": 240.0,
        f"{TRAINING} A": 120.0,
        f"{SCORING} val_select": 6.0,
        f"{SCORING} val_calib": 6.0,
        "Exporting to ONNX": 6.0,
    }
    plan = planned(recipe)
    lines = plan.comparison(steps, total=60 + 240 + 120 + 12 + 18)
    assert lines == (
        "Minutes (planned, used):",
        "  images opened and decoded: -, 1.0",
        "  stage B: 4.2, 4.0",
        "  stage A: 1.8, 2.0",
        f"  scores: {plan.further[0].seconds / 60:.1f}, 0.2",
        f"  all else: {SECONDS_OF_THE_REST / 60:.1f}, 0.3",
    )


def test_a_training_that_took_longer_says_why(recipe: Recipe) -> None:
    lines = planned(recipe).comparison({f"{TRAINING} B": 500.0, f"{TRAINING} A": 220.0}, total=800)
    assert lines[-1].startswith("Training took 2.0 times its plan: every stage keeps its least number")
