"""Drift in production: which images are looked at, where their signals are kept, and what they say."""
