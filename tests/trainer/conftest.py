"""A finished run that took seconds: real scores, certificate, report and bundle, without training."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path

import pytest
from fakes.channel_models import GREEN, RED, channel_images, channel_model
from rich.console import Console

from trainer.bundling.finish import RunResult
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.run.console import RunConsole


@pytest.fixture(scope="session")
def quiet() -> RunConsole:
    return RunConsole(Console(file=StringIO(), width=100))


@pytest.fixture(scope="session")
def wrapped(tmp_path_factory: pytest.TempPathFactory, quiet: RunConsole) -> RunResult:
    """A certified cascade on 2,400 independent images; shared, so copy its folder before changing it."""
    folder = tmp_path_factory.mktemp("wrapped")
    config = WrapConfig(
        ModelInput(channel_model(folder / "red.onnx", RED), normalisation="zero-one"),
        fast=ModelInput(channel_model(folder / "green.onnx", GREEN), normalisation="zero-one"),
    )
    return certify_models(config, channel_images(2400), folder / "run", quiet)


@pytest.fixture
def run_copy(wrapped: RunResult, tmp_path: Path) -> Path:
    """A copy of that run's folder, to change."""
    return Path(shutil.copytree(wrapped.run.root, tmp_path / "run"))
