"""Loading: without a certificate that holds, a bundle abstains on every image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image, colour_images, tiny_draft

from bundle.engines.contract import EngineKey, EngineUnavailable
from bundle.loader import load_bundle
from bundle.writer import write_bundle


class TestWithoutPromise:
    def test_an_infeasible_bundle_loads_and_abstains(self, make_tiny_bundle: Callable[..., Path]) -> None:
        loaded = load_bundle(make_tiny_bundle(feasible=False))
        assert not loaded.certified
        assert loaded.certificate is not None
        assert "149 more" in loaded.certificate.sentence()
        run = loaded.runner.run([candidate.data for candidate in colour_images()])
        assert {decision.decision for decision in run.decisions} == {"abstain"}
        assert {decision.reason for decision in run.decisions} == {"no-promise"}

    def test_without_any_certificate_it_abstains(self, tmp_path: Path) -> None:
        write_bundle(replace(tiny_draft(), certificates=()), tmp_path / "bundle")
        loaded = load_bundle(tmp_path / "bundle")
        assert loaded.certificate is None
        assert loaded.runner.decide([colour_image(1, 1.0)])[0].decision == "abstain"

    def test_at_a_precision_that_no_certificate_names_it_abstains(
        self, make_tiny_bundle: Callable[..., Path]
    ) -> None:
        loaded = load_bundle(
            make_tiny_bundle(precisions=("fp32", "int8")), key=EngineKey.parse("onnxruntime-cpu/int8")
        )
        assert (loaded.key, loaded.certificate, loaded.certified) == ("onnxruntime-cpu/int8", None, False)
        assert loaded.runner.decide([colour_image(1, 1.0)])[0].decision == "abstain"

    def test_a_precision_without_a_model(self, bundle: Path) -> None:
        with pytest.raises(EngineUnavailable, match="no model at int8; it has fp32"):
            load_bundle(bundle, key=EngineKey.parse("onnxruntime-cpu/int8"))
