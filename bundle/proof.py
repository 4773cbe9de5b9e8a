"""What the numbers of a certificate can prove, worked out again from the certificate alone.

Digests show damage, but they can be computed again. A certificate whose counts cannot prove its promise by
its own method is therefore refused. Each check is a necessary condition, so that every certificate that was
really issued passes, and for the exact methods it is the whole proof. The service loads no SciPy (50 MB and
half a second), so the binomial distribution is summed here.
"""

from __future__ import annotations

import math
from typing import Final

from calibration.certificate import LOOK_AHEAD_METHOD, Certificate

_MAX_UNITS: Final = 10**9
_ROUNDING: Final = 1e-6
"""Relative tolerance for figures that were rounded."""
_BETTING: Final = "fixed sequence, betting on group means"
_RANDOMISED: Final = "exact fixed sequence, randomised"
_SCRC_I: Final = "SCRC-I"
_SCRC_T: Final = "SCRC-T"
"""Beginnings of the names of methods that use more than the counts, or other counts"""


def check_proof(certificate: Certificate) -> None:
    """Raise ValueError if numbers of the certificate contradict each other or cannot prove its promise."""
    _check_counts(certificate)
    if not certificate.feasible:
        return
    _check_parts(certificate)
    if certificate.kind == "pac":
        _check_confidence(certificate)
    else:
        _check_average(certificate)


def _check_counts(certificate: Certificate) -> None:
    """Numbers that a calibration split can have."""
    images = max(certificate.n, certificate.images or 0)
    counts = [(certificate.answered, certificate.errors, images)]
    counts += [(part.answered, part.errors, images) for part in certificate.parts]
    for answered, errors, most in counts:
        if not 0 <= errors <= answered <= most <= _MAX_UNITS:
            raise ValueError(
                f"the certificate counts {errors} wrong among {answered} answered of {most} images"
            )
    if not 0.0 < certificate.alpha < 1.0 or not (certificate.delta is None or 0.0 < certificate.delta < 1.0):
        raise ValueError(
            f"alpha is {certificate.alpha} and delta {certificate.delta}; both must be in (0, 1)"
        )
    low, coverage = certificate.coverage_lower_bound, certificate.coverage
    if certificate.feasible and not -_ROUNDING <= low <= coverage + _ROUNDING <= 1.0 + 2.0 * _ROUNDING:
        raise ValueError(f"the certificate states a coverage of {coverage} and a lower bound of {low}")
    if not certificate.feasible and coverage > 0.0:
        raise ValueError(f"the certificate promises nothing, but states a coverage of {coverage:g}")


def _check_parts(certificate: Certificate) -> None:
    """Every answer lies in one part; the samples at the ends of a prevalence count answers again."""
    if certificate.prevalence is not None:
        return
    for name in ("answered", "errors"):
        total, whole = sum(getattr(part, name) for part in certificate.parts), getattr(certificate, name)
        if certificate.parts and total != whole:
            raise ValueError(f"the parts of the certificate have {total} {name} together, the whole {whole}")


def _check_confidence(certificate: Certificate) -> None:
    """A promise that holds with confidence 1 - delta, by the condition of its method."""
    alpha, bound = certificate.alpha, certificate.risk_upper_bound
    if certificate.delta is None or bound is None:
        raise ValueError("the certificate promises a confidence, but states no delta or no bound of the risk")
    if not 0.0 <= bound <= alpha * (1.0 + _ROUNDING):
        raise ValueError(f"the certificate promises alpha {alpha:g}, but its bound of the risk is {bound:g}")
    if certificate.method.startswith(_BETTING):
        _check_bets(certificate, certificate.delta, bound)
        return
    _check_coverage(certificate)
    if certificate.method.startswith(_SCRC_I):
        _check_concentration(certificate, certificate.delta, bound)
        return
    _check_least_coverage(certificate, certificate.delta)
    spared = certificate.method.startswith((_RANDOMISED, LOOK_AHEAD_METHOD))
    tested = [(part.answered, part.errors) for part in certificate.parts]
    _check_corners(certificate)
    for answered, errors in tested or [(certificate.answered, certificate.errors)]:
        _check_binomial(certificate, answered, errors, spared=spared)


def _check_corners(certificate: Certificate) -> None:
    """An interval of the prevalence is tested at each end, on a sample of the units."""
    if certificate.prevalence is None:
        return
    corners = {end for interval in certificate.intervals for end in interval}
    fewest = len(corners) if len(certificate.intervals) == 1 else 1
    if len(certificate.parts) < fewest or any(part.answered > part.n for part in certificate.parts):
        raise ValueError(
            f"the certificate promises a prevalence with {fewest} ends, but was tested at "
            f"{len(certificate.parts)}, of {', '.join(str(part.n) for part in certificate.parts)} units"
        )


def _check_binomial(certificate: Certificate, answered: int, errors: int, *, spared: bool) -> None:
    """P(Bin(answered, bound) <= errors) <= delta: Clopper and Pearson (1934).

    `spared`: the method may pass with one error more than that, by a random number or by later errors.
    """
    bound, delta = certificate.risk_upper_bound or 0.0, certificate.delta or 0.0
    if spared and errors == 0 and certificate.method.startswith(_RANDOMISED):
        return
    proving = max(0, errors - 1) if spared else errors
    if proving > bound * answered or binomial_tail(proving, answered, bound) > _most(delta):
        raise ValueError(
            f"{errors} wrong among {answered} answered do not prove a risk of at most {bound:g} at "
            f"delta {delta:g}, as the certificate says"
        )


def _check_coverage(certificate: Certificate) -> None:
    """The coverage is the share of the units that is answered."""
    if abs(certificate.coverage * certificate.n - certificate.answered) > 1.0 - _ROUNDING:
        raise ValueError(
            f"the certificate states a coverage of {certificate.coverage:g}, but {certificate.answered} of "
            f"{certificate.n} units are answered"
        )


def _check_least_coverage(certificate: Certificate, delta: float) -> None:
    """P(Bin(n, lower bound) >= answered) <= delta, which the bounds by DKW imply too."""
    low = certificate.coverage_lower_bound
    if low <= 0.0:
        return
    left = certificate.n - certificate.answered
    if binomial_tail(left, certificate.n, 1.0 - low) > _most(delta):
        raise ValueError(
            f"{certificate.answered} of {certificate.n} units answered do not prove a coverage of at least "
            f"{low:g} at delta {delta:g}, as the certificate says"
        )


def _check_concentration(certificate: Certificate, delta: float, bound: float) -> None:
    """SCRC-I: with the margin e by which the coverage is lowered, (wrong / n + e) / (answered / n - e).

    e is at least sqrt(ln(2 / delta) / (2 n)), that of a grid of one point. A promise for each class is the
    worst of several such bounds with a larger margin, so the bound over all images is never above it.
    """
    n, low = certificate.n, certificate.coverage_lower_bound
    margin = certificate.coverage - low
    if low <= 0.0 or margin < math.sqrt(math.log(2.0 / delta) / (2.0 * n)) * (1.0 - _ROUNDING):
        raise ValueError(
            f"SCRC-I lowers the coverage of {n} units by more than {margin:g}, as the certificate does"
        )
    least = (certificate.errors / n + margin) / low
    if bound < least * (1.0 - _ROUNDING):
        raise ValueError(
            f"{certificate.errors} wrong among {certificate.answered} answered of {n} units do not prove a "
            f"risk of at most {bound:g} by SCRC-I, but of {least:.4g}"
        )


def _check_bets(certificate: Certificate, delta: float, bound: float) -> None:
    """Betting on group means: the largest capital that G groups with these answers can reach.

    A bet below 1 / (1 - alpha) on a group of which a share a is answered without an error grows the log
    capital by less than log(1 + bound a / (1 - alpha)). That is concave in a, so that equal shares reach the
    most; errors only lower it. The shares add up to the coverage times G, in a part at most to its answers.
    """
    groups, images = certificate.n, certificate.images or certificate.n
    if not certificate.population.startswith("random group"):
        raise ValueError(
            f"betting on group means proves nothing about the population {certificate.population!r}"
        )
    if (certificate.answered == 0) != (certificate.coverage <= 0.0) or images < groups:
        raise ValueError(
            f"the certificate answers {certificate.answered} of {images} frames in {groups} groups, but "
            f"states a coverage of {certificate.coverage:g}"
        )
    shares = certificate.coverage * groups
    for answered in [part.answered for part in certificate.parts] or [certificate.answered]:
        share = min(shares, answered) / groups
        capital = groups * math.log1p(bound * share / (1.0 - certificate.alpha))
        if capital < -math.log(delta) * (1.0 - _ROUNDING):
            raise ValueError(
                f"{groups} groups of which {100 * share:.3g} % is answered cannot prove a risk of at most "
                f"{bound:g} at delta {delta:g}, even without an error"
            )
    margin = math.sqrt(-math.log(delta) / (2.0 * groups))
    _check_margin(certificate, margin)


def _check_average(certificate: Certificate) -> None:
    """A promise on average: conformal risk control allows floor(alpha (n + 1)) - 1 losses among n units.

    SCRC-T has two sets of accepted units, of which one holds those exactly at the threshold.
    """
    n, alpha = certificate.n, certificate.alpha
    if alpha * (n + 1) < 1.0 - _ROUNDING:
        raise ValueError(f"{n} calibration units cannot promise an average of {alpha:g}")
    _check_coverage(certificate)
    allowed = 2.0 * (alpha * (n + 1) * (1.0 + _ROUNDING) - 1.0)
    if certificate.errors > allowed:
        raise ValueError(
            f"{certificate.errors} wrong of {n} units do not promise an average of {alpha:g}; at most "
            f"{int(allowed)} do"
        )
    if certificate.method.startswith(_SCRC_T):
        _check_margin(certificate, math.sqrt(math.log(3.0 * (n + 1)) / (2.0 * n)))


def _check_margin(certificate: Certificate, margin: float) -> None:
    """The coverage is lowered by at least `margin`."""
    low, coverage = certificate.coverage_lower_bound, certificate.coverage
    if low > max(0.0, coverage - margin * (1.0 - _ROUNDING)) + _ROUNDING:
        raise ValueError(
            f"a coverage of {coverage:g} on {certificate.n} units proves at least "
            f"{max(0.0, coverage - margin):.4g} at most, not {low:g}"
        )


def _most(delta: float) -> float:
    return delta * (1.0 + _ROUNDING)


def binomial_tail(errors: int, n: int, rate: float) -> float:
    """P(Bin(n, rate) <= errors), for errors up to the mean; the same as `scipy.stats.binom.cdf`.

    Terms are added from the largest, at `errors`, downwards.
    """
    if rate <= 0.0 or n == 0:
        return 1.0
    if rate >= 1.0:
        return 1.0 if errors >= n else 0.0
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(n - errors + 1)
        + errors * math.log(rate)
        + (n - errors) * math.log1p(-rate)
    )
    term = total = math.exp(log_term)
    for count in range(errors, 0, -1):
        term *= count * (1.0 - rate) / ((n - count + 1) * rate)
        total += term
        if term < 1e-12 * total:
            break
    return total
