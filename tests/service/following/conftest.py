from __future__ import annotations

from pathlib import Path

import pytest
from fakes.following_service import FollowingService, Shelf, write_shelf


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Bundles of a registry; tests have fleets of their own in it."""
    return write_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def service(shelf: Shelf, tmp_path: Path) -> FollowingService:
    return FollowingService(shelf, tmp_path / "data")
