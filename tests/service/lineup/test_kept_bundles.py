"""Bundles that are kept open: they answer nothing, and to make one the champion opens nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.manifest import BundleError
from service.lineup.lineup import Deployments, LineupPlan
from service.settings import Settings


@pytest.fixture
def settings(tiny_bundle: Path, tmp_path: Path) -> Settings:
    return Settings(bundle=tiny_bundle, data_dir=tmp_path, cores=1, redis_url="off")


@pytest.fixture
def other(make_tiny_bundle: Callable[..., Path]) -> Path:
    return make_tiny_bundle(name="other")


def test_a_kept_bundle_answers_nothing_and_becomes_champion_without_its_folder(
    settings: Settings, other: Path
) -> None:
    deployments = Deployments.open(settings)
    first = deployments.champion
    deployments.prepare(LineupPlan(settings.bundle, kept=(other,)))
    deployments.commit()
    (label,) = deployments.kept
    assert deployments.shares() == {first.label: 1.0}
    assert deployments.answering("unit").deployment is first
    shutil.rmtree(other)
    deployments.prepare(LineupPlan(other, kept=(settings.bundle,)))
    deployments.commit()
    assert deployments.champion.label == label
    deployments.prepare(LineupPlan(settings.bundle))
    deployments.commit()
    assert (deployments.champion, deployments.kept) == (first, [])


def test_a_kept_bundle_that_cannot_be_opened_fails_a_change_and_no_start(
    settings: Settings, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(BundleError):
        Deployments.open(settings).prepare(LineupPlan(settings.bundle, kept=(missing,)))
    deployments = Deployments.open(settings, kept=[missing])
    assert deployments.kept == []


def test_a_start_opens_the_kept_bundles(settings: Settings, other: Path) -> None:
    deployments = Deployments.open(settings, kept=[other])
    assert len(deployments.kept) == 1
    assert deployments.shares() == {deployments.champion.label: 1.0}


def test_the_folders_of_a_plan_occur_once(tmp_path: Path) -> None:
    plan = LineupPlan(tmp_path / "a", kept=(tmp_path / "b", tmp_path / "a"))
    assert plan.folders() == [tmp_path / "a", tmp_path / "b"]
    assert replace(plan, kept=()).folders() == [tmp_path / "a"]
