"""Sample ratio: do the arms of an experiment get the shares of the units that were designed?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

CONCENTRATION: Final = 10_000.0
"""Sum of the parameters of the mixture: it is tuned to shares that are off by about 1 / sqrt of it"""
_LARGEST_EXPONENT: Final = 700.0


def sample_ratio_e_value(
    units: Sequence[int], shares: Sequence[float], *, concentration: float = CONCENTRATION
) -> float:
    """E-value against the designed shares, of the units that each arm has; reject at 1 / level, at any look.

    The likelihood ratio of a multinomial whose shares are mixed over a Dirichlet distribution with the
    parameters concentration * shares (Lindon and Malek, "Anytime-valid inference for multinomial count data",
    2022). `shares`: positive, 1 in sum. Raises ValueError.
    """
    if len(units) != len(shares) or len(units) < 2:
        raise ValueError(
            f"there are {len(units)} counts and {len(shares)} shares; two or more of each needed"
        )
    if not all(count >= 0 for count in units):
        raise ValueError(f"units are {tuple(units)!r}; a count is at least 0")
    if not all(share > 0.0 for share in shares) or abs(sum(shares) - 1.0) > 1e-9:
        raise ValueError(f"shares are {tuple(shares)!r}; they must be positive and 1 in sum")
    if not 0.0 < concentration < math.inf:
        raise ValueError(f"concentration is {concentration!r}; it must be positive")
    total = sum(units)
    log_value = math.lgamma(concentration) - math.lgamma(concentration + total)
    for count, share in zip(units, shares, strict=True):
        prior = concentration * share
        log_value += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return math.exp(min(log_value, _LARGEST_EXPONENT))
