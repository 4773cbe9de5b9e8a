"""The private port: bundles, challengers, profiling, behind a token."""
