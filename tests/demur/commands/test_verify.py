"""`demur verify` on the engines of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bundle.engines.installed import usable_keys
from bundle.verify import BundleUnexpected, read_manifest
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


def test_the_expected_version_and_the_time_limit(tiny_bundle: Path) -> None:
    version = read_manifest(tiny_bundle).version
    arguments = ["verify", str(tiny_bundle), "--time-limit", "30", "--expect"]
    assert CliRunner().invoke(app, [*arguments, version], catch_exceptions=False).exit_code == 0
    with pytest.raises(BundleUnexpected, match=f"is version {version} of tiny"):
        CliRunner().invoke(app, [*arguments, "0" * 16], catch_exceptions=False)
