"""Loading: without a certificate that holds, a bundle abstains on every image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import colour_image, colour_images, looping_model, tiny_draft
from numpy.typing import NDArray

from bundle.engines.contract import EngineKey, EngineUnavailable
from bundle.engines.model import OnnxModel
from bundle.golden import GoldenMismatch
from bundle.loader import load_bundle
from bundle.manifest import BundleTampered
from bundle.writer import write_bundle
from calibration.scores import StageOutputs


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


class TestTimeLimit:
    def test_a_model_that_loops_is_refused_in_time(self, bundle: Path) -> None:
        (bundle / "stage_a/model.onnx").write_bytes(looping_model(16))
        forge(bundle)
        with pytest.raises(BundleTampered, match=r"the model took longer than 0\.5 s") as caught:
            load_bundle(bundle, time_limit=0.5)
        assert caught.value.file == "stage_a/model.onnx"

    def test_golden_cases_that_take_too_long_are_refused(
        self, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = OnnxModel.run

        def slow(self: OnnxModel, batch: NDArray[np.float32]) -> StageOutputs:
            if len(batch) == 1:
                sleep(0.3)
            return real(self, batch)

        monkeypatch.setattr(OnnxModel, "run", slow)
        with pytest.raises(GoldenMismatch, match=r"golden cases are not computed within 0\.5 s"):
            load_bundle(tiny_bundle, time_limit=0.5)

    def test_a_loaded_model_has_no_limit_any_more(
        self, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = load_bundle(tiny_bundle, time_limit=20.0)
        monkeypatch.setattr("bundle.engines.model.monotonic", lambda: 1e12)
        assert loaded.runner.decide([colour_image(1, 0.9)])[0].label == 1
