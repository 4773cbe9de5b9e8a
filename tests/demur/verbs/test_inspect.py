"""`demur inspect` names the engines that this machine does not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from demur.cli import app


def test_an_engine_that_is_not_installed_is_marked(
    make_tiny_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny_bundle(certified=("onnxruntime-cpu/fp32", "openvino/fp32"))
    monkeypatch.setattr("bundle.inspect.usable", lambda key: key.engine != "openvino")
    result = CliRunner().invoke(app, ["inspect", str(folder)], catch_exceptions=False)
    assert "openvino/fp32 (not available on this machine): With 95 %" in " ".join(result.output.split())
    assert "onnxruntime-cpu/fp32: With 95 %" in " ".join(result.output.split())
