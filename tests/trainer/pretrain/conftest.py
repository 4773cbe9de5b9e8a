"""Small photographs and a small backbone, pretrained on them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from fakes.stripes import SCRATCH, SHALLOW, config_of, write_stripes
from rich.console import Console

from trainer.pretrain.run import PretrainResult, pretrain
from trainer.run.console import RunConsole


@pytest.fixture(scope="session")
def console() -> RunConsole:
    return RunConsole(Console(file=StringIO(), width=100))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 images without labels, in tracks of two."""
    return write_stripes(tmp_path_factory.mktemp("photos") / "plain", 96, seed=0)


@pytest.fixture(scope="session")
def scratch(photos: Path, console: RunConsole, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    """A backbone trained from random weights; shared, so read only."""
    return pretrain(config_of(photos, **SCRATCH), tmp_path_factory.mktemp("scratch") / "vit-stripes", console)


@pytest.fixture(scope="session")
def shallow(photos: Path, console: RunConsole, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    """The same with a single block, for what does not depend on depth."""
    return pretrain(config_of(photos, **SHALLOW), tmp_path_factory.mktemp("shallow") / "vit", console)
