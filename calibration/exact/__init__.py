"""Exact certificates: binomial tests along a fixed sequence of thresholds."""
