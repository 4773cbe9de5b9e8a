"""Certified selective classification: scores, bounds, risk control, decision rule, metrics."""
