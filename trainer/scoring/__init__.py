"""Scores of a split, computed on the path that serves."""
