"""`demur verify` on the engines of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from bundle.engines.installed import usable_keys
from demur.cli import app

EVERYWHERE = tuple(str(key) for key in usable_keys())


def test_every_certified_and_installed_engine_is_tried(make_tiny_bundle: Callable[..., Path]) -> None:
    folder = make_tiny_bundle(precisions=("fp32", "int8"), certified=EVERYWHERE)
    result = CliRunner().invoke(app, ["verify", str(folder)], catch_exceptions=False)
    for key in EVERYWHERE:
        assert f"\n{key} (" in result.output
    assert result.output.count("golden cases hold.") == len(EVERYWHERE)


def test_one_engine_may_be_named(tiny_bundle: Path) -> None:
    result = CliRunner().invoke(
        app, ["verify", str(tiny_bundle), "--engine", "openvino"], catch_exceptions=False
    )
    assert "openvino/fp32 (openvino " in result.output
    assert "not certified here, so all is abstained on" in result.output
