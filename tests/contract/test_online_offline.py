"""The service answers as certified: the same decision as offline on the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bundle.loader import load_bundle
from calibration.decision import decide
from service.app import create_app
from service.settings import Settings

Images = Callable[..., bytes]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "softmax"},
        {"rule": "gate"},
        {"rule": "scrc"},
        {"stages": 1},
        {"classes": 3},
        {"feasible": False},
    ],
    ids=lambda options: str(options or "margin"),
)
def test_online_decides_as_offline(
    make_tiny_bundle: Callable[..., Path], make_colour_image: Images, options: dict[str, object]
) -> None:
    bundle = make_tiny_bundle(**options)
    images = [
        make_colour_image(label, strength, seed, size=(300, 400))
        for label in (0, 1)
        for strength in (0.02, 0.2, 0.3, 0.4, 0.6, 0.9)
        for seed in range(2)
    ]
    loaded = load_bundle(bundle)
    # Every stage is computed for every image before the decision, as for a certificate.
    offline = decide(loaded.runner.score_all(images), loaded.operating_point)
    with TestClient(create_app(Settings.read({}, bundle=bundle, redis_url="off"))) as client:
        for image, decision in zip(images, offline, strict=True):
            body = client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).json()
            assert body["decision"] == decision.decision
            assert body["label"] == decision.label
            assert body["stage"] == decision.stage
            assert body["reason"] == decision.reason
            assert tuple(body["prediction_set"]) == decision.prediction_set
            assert body["confidence"] == pytest.approx(decision.confidence, abs=1e-5)
            assert body["probability"] == pytest.approx(decision.probabilities[1], abs=1e-5)
