"""Certified selective classification: scores, bounds, risk control, decision rule, metrics.

The public names stand in `__init__.pyi` alone. They are loaded on first use, so that importing the decision
rule costs no SciPy (`lazy_loader`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
