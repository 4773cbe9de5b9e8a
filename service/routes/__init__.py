"""Routes of the public port, one file per group."""
