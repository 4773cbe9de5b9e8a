"""Private port: bundles and challengers, behind a token."""
