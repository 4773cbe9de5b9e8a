from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes.simulated_fleet import Bundles, SimulatedFleet, prepared_registry


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundles]:
    """(folder with a registry that has a champion, its bundles); to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    return folder / "registry", prepared_registry(folder)


@pytest.fixture
def fleet(prepared: tuple[Path, Bundles], tmp_path: Path) -> SimulatedFleet:
    """Three services that follow a registry with a champion."""
    shutil.copytree(prepared[0], tmp_path / "registry")
    found = SimulatedFleet(tmp_path / "registry")
    found.sleep(1.0)
    return found


@pytest.fixture
def bundles(prepared: tuple[Path, Bundles]) -> Bundles:
    return prepared[1]
