"""Lines beside a certificate's sentence: parts of a joint promise, its cost in coverage, further risks."""

from __future__ import annotations

import math

from calibration.certificate import EACH_ANSWER, Certificate
from calibration.decision import STAGE_NAMES
from calibration.exact.fallback import RiskLadder


def part_lines(certificate: Certificate, coverage_overall: float) -> tuple[str, ...]:
    """One line per part with its counts, and the coverage that the promise for each of them costs."""
    if certificate.each is None or not certificate.feasible:
        return ()
    what = EACH_ANSWER if certificate.each == EACH_ANSWER else f"value of {certificate.each}"
    price = coverage_overall - certificate.coverage
    return (
        f"It holds for each {what} by itself:",
        *(
            f"  {part.name}: {part.errors} wrong among {part.answered} answered of {part.n} "
            f"({100 * part.coverage:.1f} %)"
            for part in certificate.parts
        ),
        f"Price: {100 * price:.1f} points of coverage; over all answers alone {100 * coverage_overall:.1f} % "
        "would be answered.",
    )


def share_lines(certificate: Certificate, ordinary: Certificate) -> tuple[str, ...]:
    """One line per end of the prevalence with its counts, and what the promise at all of them costs."""
    if not certificate.feasible:
        return ()
    price = 100 * (ordinary.coverage - certificate.coverage)
    return (
        "It holds at each share of the classes in between, because it holds at the ends:",
        *(
            f"  {part.name}: {part.errors} wrong among {part.answered} answered of {part.n} drawn "
            f"({100 * part.coverage:.1f} %)"
            for part in certificate.parts
        ),
        f"Price: {price:.1f} points of coverage on images mixed as in val_calib; a promise about those alone "
        f"would answer {100 * ordinary.coverage:.1f} %, and says nothing of another mix."
        if price >= 0.0
        else f"On images mixed as in val_calib it answers {-price:.1f} points more than a promise about "
        "those alone would.",
    )


def risk_lines(ladder: RiskLadder, delta: float) -> tuple[str, ...]:
    """One line per risk with its certified coverage and thresholds."""
    lines = [f"All together with {100 * (1 - delta):g} % confidence:"]
    for certificate, price in zip(ladder.certificates, ladder.prices, strict=True):
        head = f"  at {100 * certificate.alpha:g} %: "
        if certificate.feasible:
            lines.append(
                f"{head}{100 * certificate.coverage:.1f} % answered, from a confidence of "
                f"{thresholds_in_words(certificate)} (alone {100 * price:.1f} points more)"
            )
        else:
            lines.append(f"{head}no promise: {certificate.needed}")
    return tuple(lines)


def thresholds_in_words(certificate: Certificate) -> str:
    """`2.31`, or for a cascade `3.05 in stage A, 2.31 in stage B`."""
    if not isinstance(certificate.threshold, tuple):
        return f"{certificate.threshold:.6g}"
    named = zip(STAGE_NAMES, certificate.threshold, strict=False)
    return ", ".join(f"{value:.6g} in stage {name}" for name, value in named if not math.isinf(value))
