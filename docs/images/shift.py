"""Draws docs/images/shift.png: `python docs/images/shift.py`. Simulated data, seeded."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import special

from calibration.certificate import Certificate, RiskTarget
from calibration.exact.fixed_sequence import RANK_START
from calibration.exact.path_test import certify_path
from calibration.exact.paths import StagePath
from calibration.exact.prevalence import Prevalence
from calibration.exact.worlds import certify_prevalence

BLUE, RED, GREY, GREEN = "#0072B2", "#D55E00", "#6B6B6B", "#009E73"
SOURCE, LOW, HIGH = 0.2, 0.1, 0.4
APART = 3.6
"""Distance between the means of the two classes, in standard deviations"""


def main() -> None:
    rng = np.random.default_rng(3)
    classes = (rng.random(5000) < SOURCE).astype(np.int64)
    odds = APART * rng.normal((2 * classes - 1) * APART / 2) + special.logit(SOURCE)
    path = StagePath.read(np.abs(odds), (odds > 0) != classes, np.unique(np.abs(odds))[::-1])
    target = RiskTarget()
    shares = Prevalence.of((LOW, HIGH), ("no roadwork", "roadwork"))
    ordinary = certify_path(path, target, test=RANK_START)
    both = certify_prevalence(path, classes, shares, target, test=RANK_START)
    with mpl.rc_context({"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4.2), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        prevalence = np.linspace(0.01, 0.6, 200)
        axes.axvspan(100 * LOW, 100 * HIGH, color=GREY, alpha=0.13, lw=0)
        axes.axhline(100 * target.alpha, color=RED, ls="--", lw=1.4, label="the promise: at most 1 %")
        axes.plot(100 * prevalence, risk(ordinary, prevalence), color=BLUE, label="ordinary certificate")
        axes.plot(100 * prevalence, risk(both, prevalence), color=GREEN, label="certified from 10 % to 40 %")
        ends = np.array([LOW, HIGH])
        axes.plot(100 * ends, risk(both, ends), "o", color=GREEN, ms=7, label="the two ends that are tested")
        axes.plot([100 * SOURCE], risk(ordinary, np.array([SOURCE])), "s", color=BLUE, ms=7)
        axes.annotate(
            "calibrated here", (100 * SOURCE, risk(ordinary, np.array([SOURCE]))[0]), (13, 0.85), color=BLUE
        )
        axes.set(xlim=(0, 60), ylim=(0, 2.6), xlabel="share of roadwork in production (%)")
        axes.set_ylabel("wrong among the answered (%)")
        axes.legend(loc="upper left", frameon=False)
        figure.savefig(Path(__file__).with_suffix(".png"), metadata={"Software": None})
    print(ordinary.sentence(), both.sentence(), sep="\n")


def risk(certificate: Certificate, prevalence: NDArray[np.float64]) -> NDArray[np.float64]:
    """True risk in percent at each prevalence, from the Gaussian scores."""
    assert isinstance(certificate.threshold, float)
    offset = float(special.logit(SOURCE))
    above = (certificate.threshold - offset) / APART
    below = (-certificate.threshold - offset) / APART
    half = APART / 2
    wrong_0, wrong_1 = special.ndtr(-above - half), special.ndtr(below - half)
    answered_0 = wrong_0 + special.ndtr(below + half)
    answered_1 = wrong_1 + special.ndtr(half - above)
    wrong = (1 - prevalence) * wrong_0 + prevalence * wrong_1
    return 100 * wrong / ((1 - prevalence) * answered_0 + prevalence * answered_1)


if __name__ == "__main__":
    main()
