"""The HTTP contract, one file a group of routes."""
