"""The command line run in this process, and small inputs for every verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import RED, channel_images, channel_model
from fakes.command_line import Demur, in_this_process
from fakes.squares import write_squares


@pytest.fixture
def demur(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Demur:
    return in_this_process(monkeypatch, capfdbinary)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images of one flat colour in class folders."""
    images, root = channel_images(120), tmp_path_factory.mktemp("photos")
    for row in range(len(images)):
        folder = root / images.class_names[images.labels[row]]
        folder.mkdir(exist_ok=True)
        (folder / f"{row}.png").write_bytes(images.read(row))
    return root


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 images of 32 pixels: noise, and noise with a bright square."""
    return write_squares(tmp_path_factory.mktemp("squares"), 80)


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells the images of `photos` apart."""
    return channel_model(tmp_path_factory.mktemp("model") / "red.onnx", RED)


@pytest.fixture
def score_table(tmp_path: Path) -> Path:
    """A thousand labels with scores that are right."""
    rng = np.random.default_rng(0)
    rows = [f"{label},{abs(label - 0.01 - 0.1 * rng.random()):.12f}" for label in rng.integers(0, 2, 1000)]
    path = tmp_path / "scores.csv"
    path.write_text("label,score\n" + "\n".join(rows) + "\n")
    return path
