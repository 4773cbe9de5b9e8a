from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.reports.pictures import (
    Curve,
    OperatingMark,
    ReliabilityLine,
    RiskLine,
    draw_augrc_distribution,
    draw_calibration_curve,
    draw_risk_coverage,
    risk_ceiling,
)

PROMISED = RiskLine(0.01, promised=True)


def _ink(path: Path) -> int:
    """Pixels that are not white."""
    return int((np.asarray(Image.open(path).convert("L")) < 250).sum())


@pytest.mark.parametrize("mark", [None, OperatingMark(0.8, 0.004, (0.001, 0.01), 0.0098)])
def test_risk_coverage_is_drawn_with_and_without_an_operating_point(
    tmp_path: Path, mark: OperatingMark | None
) -> None:
    coverage = np.linspace(0.01, 1, 50)
    curve = Curve("cascade", coverage, 0.05 * coverage**3, (0.04 * coverage**3, 0.06 * coverage**3))
    draw_risk_coverage(tmp_path / "rc.png", [curve], PROMISED, mark, "a subtitle")
    draw_risk_coverage(tmp_path / "none.png", [], PROMISED, mark, "a subtitle")
    assert _ink(tmp_path / "rc.png") > _ink(tmp_path / "none.png")


def test_a_risk_that_was_not_proven_is_no_promise() -> None:
    assert PROMISED.text == "promise: at most 1 %"
    for promised in (False, None):
        assert RiskLine(0.01, promised).text.startswith("asked for: at most 1 %")
    assert "no promise" in RiskLine(0.01, promised=False).text


@pytest.mark.parametrize(("promised", "top"), [(True, 12.0), (False, 57.5)])
def test_the_axis_shows_the_model_that_there_is(promised: bool, top: float) -> None:
    coverage = np.linspace(0.01, 1, 50)
    curve = Curve("b", coverage, np.linspace(0.5, 0.4, 50))
    assert risk_ceiling([curve], RiskLine(0.01, promised), None) == pytest.approx(top)


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    coverage = np.linspace(0.01, 1, 50)
    for name in ("one.png", "two.png"):
        draw_risk_coverage(tmp_path / name, [Curve("b", coverage, coverage / 20)], PROMISED, None, "s")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_augrc_rows_also_without_any_spread(tmp_path: Path) -> None:
    samples = {"margin": np.random.default_rng(0).normal(0.004, 0.0005, 200), "gate": np.full(200, 0.0)}
    draw_augrc_distribution(tmp_path / "a.png", samples, {"margin": 0.004, "gate": 0.0}, "s")
    assert _ink(tmp_path / "a.png") > 5000


def test_calibration_curve(tmp_path: Path) -> None:
    stated = np.array([0.6, 0.8, 0.99])
    line = ReliabilityLine("before", stated, stated - 0.05, (stated - 0.1, stated), 0.05)
    draw_calibration_curve(tmp_path / "c.png", [line], np.array([0.55, 0.9, 1.0]), "s")
    assert _ink(tmp_path / "c.png") > 5000
