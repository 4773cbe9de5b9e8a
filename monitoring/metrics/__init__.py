"""Prometheus metrics: every name once, and the instruments of a worker."""
