"""A registry in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty folder, which becomes a registry with the first write."""
    return open_registry(str(tmp_path / "registry"))
