"""`demur bundle`: engines and precisions named on the command line, and the lines of its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.engines.contract import EngineKey
from bundle.verify import verify_bundle
from demur.commands.bundle import engine_keys, result_lines
from trainer.bundling.engines import CertifiedEngine, CertifiedEngines
from trainer.certify.evidence import Policy
from trainer.errors import RunError
from trainer.scoring.agreement import Agreement


class TestEngineKeys:
    def test_every_engine_at_every_precision_that_it_supports(self) -> None:
        keys = engine_keys("onnxruntime-cpu, openvino", "fp32,bf16,int8")
        assert [str(key) for key in keys] == [
            "onnxruntime-cpu/fp32",
            "onnxruntime-cpu/int8",
            "openvino/fp32",
            "openvino/bf16",
            "openvino/int8",
        ]

    @pytest.mark.parametrize(
        ("engines", "precisions", "message"),
        [
            ("tpu", "fp32", "--engine names 'tpu'; it must be of onnxruntime-cuda, openvino"),
            ("onnxruntime-cpu", "bf16", "does not compute at 'bf16'; openvino does: name it in --engine"),
            ("openvino", "fp8", "no engine does"),
        ],
    )
    def test_a_name_that_fits_nowhere_is_refused(self, engines: str, precisions: str, message: str) -> None:
        with pytest.raises(RunError, match=message):
            engine_keys(engines, precisions)


def test_the_result_names_the_price_and_what_was_left_out(tiny_bundle: Path) -> None:
    manifest = verify_bundle(tiny_bundle)
    entry = manifest.certificates[0]
    policy = Policy(entry.operating_point, entry.certificate, None)
    good, bad = Agreement("openvino/fp32", 500, 1.0, 0.97, 0.97), Agreement("x/int8", 500, 0.9, 0.8, 0.97)
    members = (
        CertifiedEngine(EngineKey("onnxruntime-cpu", "fp32"), policy, None),
        CertifiedEngine(EngineKey("openvino", "fp32"), policy, good),
    )
    certified = CertifiedEngines(members, (bad,), 0.76, manifest, len(members))
    lines = "\n".join(result_lines(certified, tiny_bundle))
    assert "on val_test, 100.00 % of 500 images get the same label, MCC 0.970" in lines
    assert "Left out, decides too differently: x/int8: 90.00 %" in lines
    assert "answers 75.0 % of the calibration units instead of 76.0 %" in lines
