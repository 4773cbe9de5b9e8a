"""The default plan: within the time at the reference pace, and stage A at most a fifth of stage B."""

from __future__ import annotations

import pytest

from trainer.fit.augment import level
from trainer.models import build_model, macs
from trainer.models.cost import MACS_PER_SECOND
from trainer.planning.recipe import (
    ENOUGH_EPOCHS,
    LEAST_SHARE_A,
    LEAST_SHARE_B,
    PlanInputs,
    Recipe,
    StageRecipe,
    default_recipe,
    input_size,
)

ROAD_SIGNS = (17_640, 32, 12.0)
CATS_AND_DOGS = (9_500, 96, 14.0)
STREETS = (4_000, 224, 3.0)


def cost(stage: StageRecipe) -> int:
    return macs(build_model(stage.model, stage.image_size, 2), stage.image_size)


def plan(n_train: int, image_size: int, minutes: float) -> Recipe:
    return default_recipe(PlanInputs(n_train, image_size, minutes))


@pytest.mark.parametrize("given", [ROAD_SIGNS, CATS_AND_DOGS, STREETS, (300, 40, 1.0), (10**6, 224, 60.0)])
def test_a_is_at_most_a_fifth_of_b(given: tuple[int, int, float]) -> None:
    recipe = plan(*given)
    assert 5 * cost(recipe.stage_a) <= cost(recipe.stage_b)


@pytest.mark.parametrize("given", [ROAD_SIGNS, CATS_AND_DOGS, STREETS])
def test_the_plan_fits_its_minutes_at_the_reference_pace(given: tuple[int, int, float]) -> None:
    n_train, _, minutes = given
    recipe = plan(*given)
    seconds = sum(
        stage.loop.epochs * n_train * cost(stage) / MACS_PER_SECOND
        for stage in (recipe.stage_a, recipe.stage_b)
    )
    assert seconds < 60 * minutes
    budgets = [stage.loop.time_budget_s or 0.0 for stage in (recipe.stage_a, recipe.stage_b)]
    assert sum(budgets) == pytest.approx(60 * minutes)


def test_more_time_buys_a_wider_net_and_never_fewer_than_enough_epochs() -> None:
    widths = [plan(9_500, 64, minutes).stage_b.model.width for minutes in (3, 8, 16, 32)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert plan(9_500, 64, 16).stage_b.loop.epochs >= ENOUGH_EPOCHS


def test_sizes_depend_on_the_images_alone() -> None:
    for n_train, minutes in ((100, 1.0), (50_000, 30.0)):
        recipe = plan(n_train, 96, minutes)
        assert recipe.stage_a.image_size == recipe.stage_b.image_size == input_size(96) == 64
    assert [input_size(size) for size in (8, 32, 64, 128, 224, 1024)] == [16, 32, 64, 64, 96, 96]


def test_mirroring_is_off_unless_it_is_allowed() -> None:
    assert not plan(*CATS_AND_DOGS).stage_b.loop.augment.horizontal_flip
    allowed = default_recipe(PlanInputs(*CATS_AND_DOGS, mirror=True))
    assert allowed.stage_a.loop.augment.horizontal_flip
    assert allowed.stage_b.loop.augment.horizontal_flip


def test_the_named_augmentation_is_planned_for_both_stages() -> None:
    recipe = default_recipe(PlanInputs(*STREETS, augment="ladder"))
    assert recipe.stage_a.loop.augment == recipe.stage_b.loop.augment == level("ladder")


def test_even_one_image_and_one_second_give_a_plan() -> None:
    recipe = plan(1, 16, 1 / 60)
    assert recipe.stage_a.loop.epochs >= 1
    assert recipe.stage_b.loop.epochs >= 1


def test_every_stage_keeps_epochs_that_the_clock_cannot_take() -> None:
    recipe = plan(*ROAD_SIGNS)
    for stage, share in ((recipe.stage_a, LEAST_SHARE_A), (recipe.stage_b, LEAST_SHARE_B)):
        assert share * stage.loop.epochs <= stage.loop.least_epochs <= stage.loop.epochs
