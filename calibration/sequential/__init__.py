"""Sequential tests and intervals that are valid at every look; NumPy alone."""
