from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trainer.config import ConfigError, TrainConfig, load_config, resolved
from trainer.planning.recipe import PartialRecipe, PlanInputs, default_recipe
from trainer.pretrain.config import load_pretrain_config


def test_the_command_line_wins_over_the_file_and_none_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: 3\ndata:\n  source: folder:here\n  group: drive\npromise: {alpha: 0.02}\n")
    config = load_config(path, {"data.source": "folder:there", "promise.alpha": None, "name": "mine"})
    assert config.data.source == "folder:there"
    assert config.data.group == "drive"
    assert config.promise.alpha == 0.02
    assert (config.seed, config.name) == (3, "mine")


def test_what_is_written_reads_back_as_the_same(tmp_path: Path) -> None:
    config = load_config(
        None, {"data.source": "folder:x", "splits": {"val_select": 1, "val_calib": 2, "val_test": 3}}
    )
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(resolved(config)))
    assert load_config(path, {}) == config


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: -1\nminuets: 3\npromise: {alpha: 7, score: best-of-all}\nsplits: {val_test: 5}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    message = str(caught.value)
    assert "5 fault(s)" in message
    for field in (
        "seed is -1",
        "minuets is 3",
        "promise.alpha is 7",
        "promise.score is 'best-of-all'",
        "splits is",
    ):
        assert field in message


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2]", "holds list"), ("a: [", "not valid YAML"), ("", None)],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, message: str | None) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    if message is None:
        assert load_config(path, {}) == TrainConfig()
    else:
        with pytest.raises(ConfigError, match=message):
            load_config(path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        load_config(tmp_path / "absent.yaml", {})


def test_a_given_seed_reaches_the_loops_of_a_full_recipe(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            resolved(TrainConfig(seed=5, recipe=default_recipe(PlanInputs(1000, 32, 1.0, seed=5))))
        )
    )
    for given, expected in ((3, 3), (0, 0), (None, 5)):
        config = load_config(path, {"seed": given})
        assert config.recipe.stage_a is not None
        assert config.recipe.stage_b is not None
        loops = (config.recipe.stage_a.loop, config.recipe.stage_b.loop)
        assert {config.seed, *(loop.seed for loop in loops)} == {expected}
    alone = TrainConfig(recipe=PartialRecipe(stage_b=default_recipe(PlanInputs(1000, 32, 1.0)).stage_b))
    path.write_text(yaml.safe_dump(resolved(alone)))
    assert load_config(path, {"seed": 7}).recipe.stage_a is None


@pytest.mark.parametrize("override", [{"minutes": 3.0}, {"augment": "none"}])
def test_what_a_full_recipe_makes_idle_is_refused(tmp_path: Path, override: dict[str, object]) -> None:
    recipe = default_recipe(PlanInputs(1000, 32, 1.0))
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(resolved(TrainConfig(recipe=recipe))))
    assert load_config(path, {"name": "other"}).recipe.stage_b == recipe.stage_b
    with pytest.raises(ConfigError, match="would change nothing"):
        load_config(path, override)


def test_a_missing_field_is_named_without_the_rest_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"  data is missing\n  backbone is missing$"):
        load_pretrain_config(None, {})
