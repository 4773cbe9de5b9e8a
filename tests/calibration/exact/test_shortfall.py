"""The ways out in the sentence of an infeasible certificate, read back as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.certificate import RiskTarget
from calibration.exact.shortfall import Hint, Outlook, describe_shortfall

TARGET = RiskTarget(0.01, 0.05, 0.7)


@pytest.mark.parametrize("units", ["images", "groups"])
@pytest.mark.parametrize("slope", [0.2, 1.5, 3.0])
@pytest.mark.parametrize("n", [150, 400, 1200])
def test_the_numbers_of_a_sentence_are_those_of_its_outlook(n: int, slope: float, units: str) -> None:
    rng = np.random.default_rng(n)
    confidence = rng.normal(size=n)
    wrong = rng.random(n) < 1.0 / (1.0 + np.exp(2.0 + slope * confidence))
    outlook = Outlook.of(confidence, wrong)
    hint = Hint.read(outlook.sentence(TARGET, units))
    assert hint.labels == outlook.labels(TARGET)
    assert hint.alpha == (None if (risk := outlook.risk(TARGET)) is None else pytest.approx(risk))
    if hint.labels is not None:
        assert hint.labels_chance == pytest.approx(outlook.chance(hint.labels, TARGET), abs=0.006)
    if hint.alpha is not None:
        chance = outlook.chance(n, RiskTarget(hint.alpha, TARGET.delta, TARGET.min_coverage))
        assert hint.alpha_chance == pytest.approx(chance, abs=0.006)


def test_a_hint_is_found_in_the_whole_sentence_and_none_where_there_is_none() -> None:
    confidence = np.linspace(3.0, 0.0, 280)
    rare = np.arange(280) >= 250
    counts = np.zeros(0, dtype=np.int64)
    needed = describe_shortfall(confidence, rare, 250, counts, counts, TARGET, "image")
    assert needed.startswith("a risk of 0.01")
    assert Hint.read(needed).labels is not None
    hopeless = describe_shortfall(confidence, ~rare, 250, counts, counts, TARGET, "image")
    assert "100 times as many images" in hopeless
    assert Hint.read(hopeless) == Hint()
