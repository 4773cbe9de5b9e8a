"""Draws docs/images/promise.png: `python docs/images/promise.py`. Simulated data, seeded."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from calibration.bounds import clopper_pearson_upper
from calibration.certificate import RiskTarget
from calibration.exact.fixed_sequence import certify

BLUE, RED, GREY, GREEN = "#0072B2", "#D55E00", "#6B6B6B", "#009E73"


def main() -> None:
    rng = np.random.default_rng(4)
    n, target = 1500, RiskTarget()
    label = rng.choice([-1.0, 1.0], n)
    x = label * 1.8 + rng.standard_normal(n)
    confidence, wrong = np.abs(x), np.sign(x) != label
    certificate = certify(confidence, wrong, None, target)
    assert isinstance(certificate.threshold, float)

    with mpl.rc_context({"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 4.3), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)

        height = rng.uniform(0, 1, n)
        left.scatter(confidence[~wrong], height[~wrong], s=7, color=BLUE, alpha=0.45, lw=0, label="right")
        left.scatter(confidence[wrong], height[wrong], s=26, color=RED, marker="X", lw=0, label="wrong")
        left.axvspan(-0.25, certificate.threshold, color=GREY, alpha=0.15, lw=0)
        left.axvline(certificate.threshold, color="black", lw=1.4)
        left.text(certificate.threshold + 0.06, 1.04, "answered")
        left.text(certificate.threshold - 0.06, 1.04, "ambiguous", ha="right")
        left.set(xlim=(-0.25, confidence.max()), ylim=(0, 1.1), yticks=[], xlabel="confidence")
        left.spines["left"].set_visible(False)
        left.set_title(f"{n} labelled images the model has never seen", loc="left", pad=14)
        left.legend(loc="lower right", framealpha=0.95, markerscale=1.8)

        order = np.argsort(-confidence)
        errors = np.cumsum(wrong[order])
        answered = np.arange(1, n + 1)
        bound = clopper_pearson_upper(errors, answered, target.delta)
        shown = answered >= 200
        right.plot(
            100 * answered[shown] / n, 100 * (errors / answered)[shown], color=BLUE, label="errors counted"
        )
        right.plot(
            100 * answered[shown] / n,
            100 * bound[shown],
            color=GREEN,
            label="what can be ruled out with 95 % confidence",
        )
        right.axhline(100 * target.alpha, color=RED, ls="--", lw=1.4, label="the promise: at most 1 %")
        right.axvline(100 * certificate.coverage, color="black", lw=1.4)
        right.text(100 * certificate.coverage - 1, 2.25, "the walk\nstops here", ha="right", va="top")
        right.set(ylim=(0, 3), xlim=(100 * 200 / n, 100), xlabel="share of images answered, surest first (%)")
        right.set_ylabel("wrong among the answered (%)")
        right.set_title("Walking down until the proof stops holding", loc="left", pad=14)
        right.legend(loc="upper left", frameon=False)
        figure.savefig(Path(__file__).with_suffix(".png"), metadata={"Software": None})
    print(certificate.sentence())


if __name__ == "__main__":
    main()
