from __future__ import annotations

import re
from pathlib import Path

import pytest

from bundle.images.decode import decode
from bundle.loader import load_bundle
from demur.commands import demo
from demur.commands.demo import DemoPlan, demo_config, run_demo
from service.settings import Settings

TINY = DemoPlan(train=48, select=16, calib=24, test=16, minutes=0.01)


def test_a_tiny_demo_prints_its_result_and_a_request_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_demo(tmp_path / "demo", serve=False, seed=0, plan=TINY)
    said = capsys.readouterr().out
    # Two dozen calibration scenes are too few for a certificate; the demo says so and still writes a bundle.
    assert not result.policy.certificate.feasible
    assert "No promise of at most 1 % wrong answers can be made" in said
    assert "more labelled images" in " ".join(said.split())
    bundle = load_bundle(result.run.bundle)
    assert bundle.manifest.classes == ("no roadwork", "roadwork")
    sample = re.search(r"--data-binary @(\S+) http://127\.0\.0\.1:8000/predict", said)
    assert sample is not None
    encoded = Path(sample[1]).read_bytes()
    assert decode(encoded).shape == (224, 224, 3)
    assert bundle.runner.decide([encoded])[0].decision == "abstain"

    served: list[tuple[Settings, Path]] = []
    monkeypatch.setattr(demo, "serve_until_stopped", lambda *given: served.append(given))
    run_demo(tmp_path / "demo", serve=True, seed=0, plan=TINY)
    ((settings, image),) = served
    assert (settings.bundle, settings.host, settings.port) == (result.run.bundle, "127.0.0.1", 8000)
    assert image == Path(sample[1])
    assert "--data-binary" not in capsys.readouterr().out, "the start of the service says it"


def test_the_demo_is_an_ordinary_run_with_fixed_sizes() -> None:
    config = demo_config(DemoPlan(), seed=5)
    assert config.data.scenes.sequences == 11_700
    assert (config.splits.val_select, config.splits.val_calib, config.splits.val_test) == (1200, 3000, 1500)
    assert config.seed == config.data.scenes.seed == 5
    assert (config.promise.alpha, config.promise.delta, config.promise.min_coverage) == (0.01, 0.05, 0.70)
