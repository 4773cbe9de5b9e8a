"""Drift without labels: has the stream of images moved away from its reference? NumPy alone."""
