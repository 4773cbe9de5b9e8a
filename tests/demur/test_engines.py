"""The verbs that name engines and precisions: what they take, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bundle.engines.installed import usable_keys
from bundle.engines.model import EngineKey
from demur.cli import app
from demur.family import tell_family, wanted_keys
from trainer.bundling.engines import Family, Member
from trainer.errors import RunError
from trainer.scoring.agreement import Agreement

EVERYWHERE = tuple(str(key) for key in usable_keys())


class TestWantedKeys:
    def test_every_engine_at_every_precision_that_it_computes_at(self) -> None:
        keys = wanted_keys("onnxruntime-cpu, openvino", "fp32,bf16,int8")
        assert [str(key) for key in keys] == [
            "onnxruntime-cpu/fp32",
            "onnxruntime-cpu/int8",
            "openvino/fp32",
            "openvino/bf16",
            "openvino/int8",
        ]

    @pytest.mark.parametrize(
        ("engines", "precisions", "said"),
        [
            ("tpu", "fp32", "--engine names 'tpu'; it must be of onnxruntime-cuda, openvino"),
            ("onnxruntime-cpu", "bf16", "does not compute at 'bf16'; openvino does: name it in --engine"),
            ("openvino", "fp8", "no engine does"),
        ],
    )
    def test_what_fits_nowhere_is_named(self, engines: str, precisions: str, said: str) -> None:
        with pytest.raises(RunError, match=said):
            wanted_keys(engines, precisions)


def test_the_price_and_who_was_left_out_are_told(tiny_bundle: Path) -> None:
    from bundle.store import verify_bundle
    from trainer.certify.evidence import Policy

    manifest = verify_bundle(tiny_bundle)
    entry = manifest.certificates[0]
    policy = Policy(entry.operating_point, entry.certificate, None)
    good, bad = Agreement("openvino/fp32", 500, 1.0, 0.97, 0.97), Agreement("x/int8", 500, 0.9, 0.8, 0.97)
    members = (
        Member(EngineKey("onnxruntime-cpu", "fp32"), policy, None),
        Member(EngineKey("openvino", "fp32"), policy, good),
    )
    lines = "\n".join(tell_family(Family(members, (bad,), 0.76, manifest, len(members)), tiny_bundle))
    assert "on val_test, 100.00 % of 500 images get the same label, MCC 0.970" in lines
    assert "Left out, decides too differently: x/int8: 90.00 %" in lines
    assert "answers 75.0 % of the calibration units instead of 76.0 %" in lines


class TestVerify:
    def test_every_certified_engine_that_is_here_is_tried(
        self, make_tiny_bundle: Callable[..., Path]
    ) -> None:
        folder = make_tiny_bundle(precisions=("fp32", "int8"), certified=EVERYWHERE)
        result = CliRunner().invoke(app, ["verify", str(folder)], catch_exceptions=False)
        for key in EVERYWHERE:
            assert f"\n{key} (" in result.output
        assert result.output.count("golden cases hold.") == len(EVERYWHERE)

    def test_one_may_be_named(self, tiny_bundle: Path) -> None:
        result = CliRunner().invoke(
            app, ["verify", str(tiny_bundle), "--engine", "openvino"], catch_exceptions=False
        )
        assert "openvino/fp32 (openvino " in result.output
        assert "not certified here, so all is abstained on" in result.output


def test_inspect_tells_what_is_here(
    make_tiny_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny_bundle(certified=("onnxruntime-cpu/fp32", "openvino/fp32"))
    monkeypatch.setattr("bundle.inspect.usable", lambda key: key.engine != "openvino")
    result = CliRunner().invoke(app, ["inspect", str(folder)], catch_exceptions=False)
    assert "openvino/fp32 (cannot be had on this machine): With 95 %" in " ".join(result.output.split())
    assert "onnxruntime-cpu/fp32: With 95 %" in " ".join(result.output.split())
