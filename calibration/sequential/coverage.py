"""Coverage monitor: are fewer images answered than the certificate proves? It needs no labels."""

from __future__ import annotations

from typing import Final

from calibration.sequential.e_detector import EDetector

HEAD_START: Final = 0.5
"""w: weight of the test that begins with the bundle"""
_LOSSES: Final = (0.05, 0.15, 0.4)
"""Shares of its value that each bet loses on an answered image; so no bet is ruined at any coverage"""


def coverage_detector(coverage: float) -> EDetector:
    """The detector of a coverage below `coverage`, in (0, 1); an abstention is an error of it.

    Bets of loss / (1 - coverage): of abstentions a little, clearly and far above their bound. Raises
    ValueError.
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage is {coverage!r}; it must lie strictly between 0 and 1")
    abstentions = 1.0 - coverage
    return EDetector(abstentions, weight=HEAD_START, lambdas=tuple(loss / abstentions for loss in _LOSSES))
